//! The task of the wheel: mailboxes are looked at again when their moments come.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::base::rules::wheel::Entry;
use crate::engine::activating::restart;
use crate::shard::Shard;
use crate::shard::wheel::{Due, LOOK_EVERY};

/// After how many others get a turn.
const AT_A_TIME: usize = 256;

/// Does what is due, for as long as the node runs.
pub(crate) async fn turn(shard: Arc<Shard>) {
    loop {
        for _ in 0..AT_A_TIME {
            let next = shard.wheel.lock().next(shard.clock.steady());
            let Some((entry, due)) = next else { break };
            is_due(entry, due);
        }
        let first = shard.wheel.lock().first();
        match first.map(|first| first.since(shard.clock.steady())) {
            None => shard.wheel.earlier.notified().await,
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            // Early or late: it is looked at again.
            Some(wait) => _ = timeout(wait.min(LOOK_EVERY), shard.wheel.earlier.notified()).await,
        }
    }
}

fn is_due(entry: Entry, due: Due) {
    match due {
        Due::Ring(mailbox) => mailbox.lock().ring_from_wheel(entry, &mailbox),
        Due::Restart(mailbox) => restart(&mailbox),
    }
}
