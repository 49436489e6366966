//! Who waits for a place for an activation gets one in the end: idle activations leave for them, and where nothing goes
//! on more are let in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::shard::Shard;

/// How long it is waited for an activation to leave. What they wait for may come of one that is not there yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// As what part of all that may be there idle ones are told to leave beyond those that wait, so that nobody has to wait
/// for some time, and idle ones are not looked for at each start.
const LEAVING_PARTS: usize = 16;
/// How many of these at a time, and how long it is between: those that leave take the threads from others.
const LEAVING_AT_A_TIME: usize = 64;
const LEAVING_PERIOD: Duration = Duration::from_millis(1);
/// When those that were to be enough for some time lasted for less, all leave at once: as long as others wait no
/// activation stays, and each message to an actor that has work all the time would wait for a place.
const LASTING_MIN: Duration = Duration::from_millis(32);
/// Among how many for each that is to leave it is looked first: nearly all are idle where so many are there.
const LOOKED_AT: usize = 2;

/// Sees to it that those who wait for a place get one, for as long as the node runs: idle activations leave for them,
/// and where nothing goes on more are let in.
pub(crate) async fn keep_moving(shard: Arc<Shard>) {
    let activations = &shard.activations;
    let (mut moves, mut since) = (0, Instant::now());
    // When it was looked for idle ones in vain, and when at all.
    let (mut in_vain, mut looked): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        if !activations.lock().is_waited_for() {
            activations.joined.notified().await;
            (moves, since) = (activations.lock().moves(), Instant::now());
        }
        if in_vain.is_none_or(|looked| looked.elapsed() >= PATIENCE) {
            let is_wanted = activations.lock().too_many(0) > 0;
            let did_last = looked.is_none_or(|looked| looked.elapsed() >= LASTING_MIN);
            let at_a_time = if did_last { LEAVING_AT_A_TIME } else { usize::MAX };
            in_vain = (!make_room(&shard, at_a_time).await).then(Instant::now);
            looked = if is_wanted { Some(Instant::now()) } else { looked };
        }
        let begun = in_vain.map_or(since, |looked| looked.min(since));
        // Rung by those that join, too.
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

/// Tells idle ones to leave, for those that wait and for some that will come, so many of these at a time. False when
/// there are too few.
async fn make_room(shard: &Shard, at_a_time: usize) -> bool {
    let activations = &shard.activations;
    let mut beyond = activations.max / LEAVING_PARTS;
    let mut wanted = activations.lock().too_many(beyond.min(at_a_time));
    while wanted > 0 {
        let told = tell_idle_to_leave(shard, wanted);
        activations.lock().told_to_leave(told, wanted);
        if told < wanted {
            return false;
        }
        beyond = beyond.saturating_sub(told);
        if beyond == 0 {
            break;
        }
        tokio::time::sleep(LEAVING_PERIOD).await;
        wanted = beyond.min(at_a_time).max(activations.lock().too_many(0));
    }
    true
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
            if mailbox.lock().tell_to_leave() {
                told += 1;
            }
            if told == wanted {
                break;
            }
        }
    }
    told
}
