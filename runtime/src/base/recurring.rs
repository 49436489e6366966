//! Troubles that are met again and again by whoever runs into them, and whose end nobody sees: each is told once a
//! minute, however often it is met. Where it is seen that a trouble lasts, and when it is over, there is an
//! [`Alarm`](crate::base::alarm::Alarm).
//!
//! ```text
//! if let Some(times) = shard.recurring.met("timer unreadable") {
//!     tracing::error!(node, timer, times, event = "timer unreadable", "..");
//! }
//! ```

use std::sync::{Mutex, PoisonError};

use everpost_persistence::MailboxId;
use tokio::time::Instant;

use crate::base::alarm::Alarms;

/// Of how many kinds of trouble there is a memory at a time: more than there are.
const KINDS_MAX: usize = 64;

/// What was met, by the event of its line, or by what else tells kinds of it apart. A line shows one example, and how
/// many there were.
#[derive(Debug)]
pub(crate) struct Recurring<K = &'static str>(Mutex<Alarms<K>>);

impl<K: PartialEq> Recurring<K> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Alarms::new(KINDS_MAX)))
    }

    /// A trouble was met: how often since it was last told, if it is to be told now.
    pub(crate) fn met(&self, kind: K) -> Option<u64> {
        self.met_at(kind, Instant::now())
    }

    fn met_at(&self, kind: K, now: Instant) -> Option<u64> {
        let mut alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.raise(kind, now).map(|said| said.times)
    }
}

/// Troubles of actors, each kind of them by itself: many of one kind leave no other untold.
#[derive(Debug)]
pub(crate) struct OfActors {
    pub(crate) failures: Recurring<MailboxId>,
    pub(crate) dead_letters: Recurring<MailboxId>,
    pub(crate) pauses: Recurring<MailboxId>,
    pub(crate) activations: Recurring<MailboxId>,
}

impl OfActors {
    pub(crate) const fn new() -> Self {
        Self {
            failures: Recurring::new(),
            dead_letters: Recurring::new(),
            pauses: Recurring::new(),
            activations: Recurring::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_met_each_second_is_told_once_a_minute_with_how_often() {
        let (start, recurring) = (Instant::now(), Recurring::new());
        let told: Vec<_> =
            (0..180).filter_map(|second| recurring.met_at("unreadable", start + Duration::from_secs(second))).collect();
        assert_eq!(told, [1, 60, 60]);
        assert_eq!(recurring.met_at("another", start), Some(1), "each by itself");
    }
}
