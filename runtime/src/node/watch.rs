//! Troubles of the whole node that last. They are looked at, and not only told by those who run into them: nobody may,
//! and thousands may at once.

use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::{AdmissionError, Class};
use tokio::time::Instant;

use crate::base::alarm::{Alarm, Said};
use crate::shard::Shard;

/// How often. A trouble that is shorter may go untold.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What may be wrong.
struct Trouble {
    event: &'static str,
    /// What it means, and what to do.
    advice: &'static str,
    /// What is wrong now, if it is.
    look: fn(&Shard) -> Option<String>,
}

const TROUBLES: [Trouble; 3] = [
    Trouble {
        event: "store full",
        advice: "messages from outside are refused until there is room: let what waits be handled, delete dead \
                 letters, free disk, or raise `store.tables_map_bytes`",
        look: |shard| no_room(shard, Class::Outside),
    },
    Trouble {
        event: "turns wait for room",
        advice: "turns that would grow the store wait until there is room: delete dead letters, free disk if that is \
         full, or start with a larger `store.tables_map_bytes`",
        look: |shard| no_room(shard, Class::Turn { growth: 1 }),
    },
    Trouble {
        event: "dead letters full",
        advice: "messages that would be given up on stay in their mailboxes, where others pass them, and are tried \
         again: replay or delete some dead letters, or raise `dead_letters_max`",
        look: |shard| shard.dead_letters.holds_back().then(|| format!("{} are kept", shard.dead_letters.count())),
    },
];

fn no_room(shard: &Shard, class: Class) -> Option<String> {
    match shard.store.try_reserve(class, 0) {
        Err(full @ (AdmissionError::StoreFull { .. } | AdmissionError::DiskFull { .. })) => Some(full.to_string()),
        // A full queue is nothing unusual, and a store that has failed is told elsewhere.
        Ok(_) | Err(_) => None,
    }
}

/// Looks for as long as the node runs.
pub(super) async fn watch(shard: Arc<Shard>) {
    let mut alarms: [Alarm; TROUBLES.len()] = Default::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for (Trouble { event, advice, look }, alarm) in TROUBLES.iter().zip(&mut alarms) {
            tell(&shard, event, advice, look(&shard), alarm);
        }
    }
}

fn tell(shard: &Shard, event: &str, advice: &str, trouble: Option<String>, alarm: &mut Alarm) {
    let (node, now) = (&shard.name, Instant::now());
    match trouble {
        Some(trouble) => {
            if let Some(Said { lasts, .. }) = alarm.raise(now) {
                tracing::error!(%node, trouble, ?lasts, event, "{advice}");
            }
        }
        None => {
            if let Some(Said { lasts, .. }) = alarm.clear(now) {
                tracing::info!(%node, ?lasts, event, "it is over");
            }
        }
    }
}
