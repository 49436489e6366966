//! Timers: messages that are sent later, once or again and again. This holds the index of those that the store keeps, under
//! one lock: setting, firing and cancelling a timer are each decided in the step, under that lock, that submits it. So a
//! timer that was cancelled never fires, and one that has fired cannot be cancelled.
//!
//! The lock is taken after those of mailboxes and of what peers are owed, and before that of the store's queue.

mod changes;
mod cron;
mod fire;
mod id;
mod index;
mod outside;
mod record;
mod recover;
mod schedule;

use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::{Position, Stage};
use tokio::sync::Notify;

pub(crate) use self::changes::{NewTimer, TimerChanges};
pub(crate) use self::fire::{Firing, fire_timers};
pub use self::id::TimerId;
use self::index::{Entry, Index};
pub use self::outside::CancelError;
pub(crate) use self::record::envelope_of;
pub(crate) use self::recover::recover;
pub use self::schedule::{Missed, Schedule, ScheduleError};
use crate::clock::Micros;

/// The timers of a node.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    state: Mutex<State>,
    /// Rung when a timer is due before all others.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// The newest submission that changed something here.
    last_submitted: Position,
}

/// Changes on their way into one submission; nobody else sees or changes a timer meanwhile.
pub(crate) struct Changing<'a> {
    timers: &'a Timers,
    /// None when there is nothing to change.
    state: Option<MutexGuard<'a, State>>,
    changes: TimerChanges,
}

impl Timers {
    /// Begins a submission that makes these changes.
    pub(crate) fn change(&self, changes: TimerChanges) -> Changing<'_> {
        if changes.is_empty() {
            return Changing { timers: self, state: None, changes };
        }
        self.begin(self.lock(), changes)
    }

    /// As [`Timers::change`], unless there would be more timers then than these; then how many there are.
    fn change_within(&self, changes: TimerChanges, timers_max: usize) -> Result<Changing<'_>, usize> {
        let state = self.lock();
        let timers = state.index.len();
        if timers + changes.set.len() > timers_max { Err(timers) } else { Ok(self.begin(state, changes)) }
    }

    fn begin<'a>(&'a self, mut state: MutexGuard<'a, State>, mut changes: TimerChanges) -> Changing<'a> {
        // Those that have fired, or were cancelled before, are not in the store any more.
        changes.cancelled.retain(|timer| state.index.remove(*timer));
        Changing { timers: self, state: Some(state), changes }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().index.len()
    }

    /// Whether a timer is due, and has not fired yet.
    pub(crate) fn is_due(&self) -> bool {
        let state = self.lock();
        state.index.len() > 0 && state.index.is_due(Micros::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changing<'_> {
    /// Whether a timer is cancelled that was there.
    fn cancels(&self) -> bool {
        !self.changes.cancelled.is_empty()
    }

    /// The newest submission before this one that changed a timer.
    fn last_submitted(&self) -> Position {
        self.state.as_ref().map_or(Position(0), |state| state.last_submitted)
    }

    /// Puts the changes into the submission.
    pub(crate) fn stage(&self, stage: &mut Stage<'_>) {
        for timer in &self.changes.cancelled {
            stage.delete(timer.key());
        }
        for NewTimer { timer, record, .. } in &self.changes.set {
            stage.put(timer.key(), record.clone());
        }
    }

    /// The submission has this ticket.
    pub(crate) fn submitted(self, ticket: Position) {
        let Some(mut state) = self.state else {
            return;
        };
        state.last_submitted = ticket;
        let mut earlier = false;
        for NewTimer { timer, due, .. } in self.changes.set {
            earlier |= state.index.set(timer, Entry { due, since: ticket });
        }
        drop(state);
        if earlier {
            self.timers.earlier.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageId;

    fn set(name: u128) -> TimerChanges {
        let timer = TimerId::new(everpost_persistence::Partition(0), MessageId(name));
        let mut changes = TimerChanges::default();
        changes.set(NewTimer { timer, due: Micros(9), record: bytes::Bytes::new(), repeats: false });
        changes
    }

    #[test]
    fn a_bound_counts_what_would_be_there() {
        let timers = Timers::default();
        timers.change_within(set(1), 1).unwrap_or_else(|_| panic!("there is room")).submitted(Position(1));
        assert_eq!(timers.change_within(set(2), 1).err(), Some(1));
        timers.change(set(3)).submitted(Position(2));
        assert_eq!(timers.len(), 2, "a turn is not held back");
    }

    #[test]
    fn a_timer_is_cancelled_once() {
        let timers = Timers::default();
        timers.change(set(1)).submitted(Position(1));
        let mut cancel = TimerChanges::default();
        cancel.cancel(TimerId::new(everpost_persistence::Partition(0), MessageId(1)));
        let changing = timers.change(cancel.clone());
        assert_eq!(changing.changes.cancelled.len(), 1);
        changing.submitted(Position(2));
        assert_eq!(timers.change(cancel).changes.cancelled, [], "it is not there any more");
    }
}
