//! Who waits for a place for an activation gets one in the end: idle activations leave for them, and where nothing goes
//! on more are let in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::shard::Shard;

/// How long it is waited for an activation to leave. What they wait for may come of one that is not there yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many idle ones are told to leave at least, so that they are not looked for at each start; as a part of all that
/// may be there where these are few. More at a time would take the threads from others while they leave.
const LEAVING_MIN: usize = 64;
const LEAVING_PARTS: usize = 16;
/// Among how many for each that is to leave it is looked first: nearly all are idle where so many are there.
const LOOKED_AT: usize = 2;

/// Sees to it that those who wait for a place get one, for as long as the node runs: idle activations leave for them,
/// and where nothing goes on more are let in.
pub(crate) async fn keep_moving(shard: Arc<Shard>) {
    let activations = &shard.activations;
    let (mut moves, mut since) = (0, Instant::now());
    // When it was looked for idle ones in vain.
    let mut in_vain: Option<Instant> = None;
    loop {
        if !activations.lock().is_waited_for() {
            activations.joined.notified().await;
            (moves, since) = (activations.lock().moves(), Instant::now());
            in_vain = None;
        }
        if in_vain.is_none_or(|looked| looked.elapsed() >= PATIENCE) {
            in_vain = (!make_room(&shard)).then(Instant::now);
        }
        let begun = in_vain.map_or(since, |looked| looked.min(since));
        // Rung by each that joins, too.
        let _ = timeout(PATIENCE.saturating_sub(begun.elapsed()), activations.joined.notified()).await;
        if since.elapsed() >= PATIENCE {
            // Where no handler is polled nothing can go on, and more of them would not help.
            if !shard.handlers_go_on().await {
                return;
            }
            let moved = activations.lock().moves();
            if moved == moves && activations.lock().is_waited_for() {
                activations.lock().raise();
                activations.let_in();
            }
            (moves, since) = (activations.lock().moves(), Instant::now());
        }
    }
}

/// Tells idle ones to leave, for all that wait. False when there are too few.
fn make_room(shard: &Shard) -> bool {
    let activations = &shard.activations;
    let (needed, wanted) = {
        let mut places = activations.lock();
        let (needed, wanted) = (places.too_many(0), places.too_many(LEAVING_MIN.min(activations.max / LEAVING_PARTS)));
        places.tells_to_leave(wanted);
        (needed, wanted)
    };
    let told = tell_idle_to_leave(shard, wanted);
    activations.lock().not_told(wanted - told);
    told >= needed
}

/// Tells up to so many activations that have nothing to do to leave. Returns how many were told. Looks only at those
/// that are there: to look through all mailboxes took the longer the more of them had work, and kept all else from the
/// node's own runtime meanwhile.
fn tell_idle_to_leave(shard: &Shard, wanted: usize) -> usize {
    let mut told = 0;
    for at_most in [wanted.saturating_mul(LOOKED_AT), usize::MAX] {
        if told == wanted {
            break;
        }
        for mailbox in shard.activations.some(at_most) {
            told += usize::from(mailbox.lock().tell_to_leave());
            if told == wanted {
                break;
            }
        }
    }
    told
}
