//! Timers: messages that are sent later, once or again and again. This holds the index of those that the store keeps,
//! under one lock: setting, firing and cancelling a timer are each decided in the step, under that lock, that submits
//! it. So a timer that was cancelled never fires, and one that has fired cannot be cancelled.
//!
//! The lock is taken after those of mailboxes and of what peers are owed, and before that of the store's queue.

pub(crate) mod beat;
pub(crate) mod changes;
mod cron;
pub(crate) mod id;
pub(crate) mod identity;
pub(crate) mod index;
mod latest_wall;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod schedule;
pub(crate) mod tick;
pub(crate) mod timer_ref;

use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::Position;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

pub(crate) use self::changes::{NewTimer, TimerChanges};
pub use self::id::TimerId;
use self::identity::Digests;
pub(crate) use self::identity::KnownBy;
pub use self::identity::TIMER_NAME_BYTES_MAX;
use self::index::{Entry, Index};
use self::latest_wall::LatestWall;
use self::plan::{Due, NEVER};
use self::record::Identity;
pub(crate) use self::record::envelope_of;
pub use self::schedule::{Missed, Schedule, ScheduleError};
use crate::base::clock::{Micros, Now};

/// The timers that a node keeps.
#[derive(Debug, Default)]
pub(crate) struct KeptTimers {
    state: Mutex<State>,
    /// Rung when a timer is due before all others.
    pub(crate) earlier: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    /// What the timers with names do.
    pub(crate) named: FxHashMap<TimerId, Digests>,
    /// The newest submission that changed something here.
    pub(crate) last_submitted: Position,
    pub(crate) latest: LatestWall,
}

/// The timers, in one step that submits a change of them: locked when they are first looked at, until it is over.
/// Nobody else sees or changes any meanwhile.
pub(crate) struct TimersInStep<'a> {
    timers: &'a KeptTimers,
    locked: Option<MutexGuard<'a, State>>,
}

impl KeptTimers {
    /// For a step that submits what it decides here.
    pub(crate) fn in_step(&self) -> TimersInStep<'_> {
        TimersInStep { timers: self, locked: None }
    }

    /// What must be durable for these timers to be set, if they are there already as they would be set.
    pub(crate) fn is_set(&self, changes: &TimerChanges) -> Option<Position> {
        let state = self.lock();
        changes.set.iter().all(|new| state.is_there(&mut new.clone())).then_some(state.last_submitted)
    }

    /// The newest submission that changed a timer.
    pub(crate) fn last_submitted(&self) -> Position {
        self.lock().last_submitted
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().index.len()
    }

    /// Whether a timer is due, and has not fired yet.
    pub(crate) fn is_due(&self, now: impl FnOnce() -> Now) -> bool {
        let state = self.lock();
        state.index.len() > 0 && state.index.is_due(now())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, timer: TimerId) {
        self.named.remove(&timer);
        self.index.remove(timer);
    }

    /// Whether the very same timer is there, so that nothing changes. One with another message takes over when the one
    /// in whose place it comes is due.
    fn is_there(&self, new: &mut NewTimer) -> bool {
        let Some(entry) = self.index.get(new.timer) else {
            return false;
        };
        let due = match entry.due {
            Due::Never | Due::Wall(Micros(NEVER)) => return false,
            Due::Steady(due) => due.0,
            Due::Wall(due) => due.0,
        };
        let (Some(digests), Some(known)) = (new.digests, self.named.get(&new.timer)) else {
            // The name of one without a name says it all.
            return new.digests.is_some();
        };
        if digests.plan == known.plan && digests.message != known.message {
            new.is_due_at(due);
        }
        digests == *known
    }
}

impl<'a> TimersInStep<'a> {
    pub(crate) fn unlock(&mut self) {
        self.locked = None;
    }

    /// Leaves of these changes those that change anything.
    pub(crate) fn narrow(&mut self, changes: &mut TimerChanges) {
        let state = self.state();
        // Those that have fired, or were cancelled before, are not in the store any more.
        changes.cancelled.retain(|timer| state.index.get(*timer).is_some());
        let TimerChanges { set, cancelled } = changes;
        set.retain_mut(|new| cancelled.contains(&new.timer) || !state.is_there(new));
    }

    /// Whether there are no more timers than these after the changes, or no more than before; else how many there are.
    pub(crate) fn keep_within(&mut self, changes: &TimerChanges, timers_max: usize) -> Result<(), usize> {
        let state = self.state();
        let timers = state.index.len();
        let more = changes.set.iter().filter(|new| state.index.get(new.timer).is_none()).count();
        if more > 0 && timers + more > timers_max { Err(timers) } else { Ok(()) }
    }

    /// These changes were submitted with this ticket.
    pub(crate) fn changed(&mut self, changes: TimerChanges, ticket: Position) {
        if changes.is_empty() {
            return;
        }
        let state = self.state();
        state.last_submitted = ticket;
        changes.cancelled.into_iter().for_each(|timer| state.remove(timer));
        let mut earlier = false;
        for new in changes.set {
            earlier |= state.index.set(new.timer, Entry::new(new.due(), ticket));
            if let (Identity::Named { .. }, Some(digests)) = (&new.record.identity, new.digests) {
                state.named.insert(new.timer, digests);
            }
        }
        if earlier {
            self.timers.earlier.notify_one();
        }
    }

    fn state(&mut self) -> &mut State {
        let timers: &'a KeptTimers = self.timers;
        self.locked.get_or_insert_with(|| timers.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::changes::tests::{new_timer, timer};
    use super::*;
    use crate::base::clock::Steady;

    fn set(new: NewTimer) -> TimerChanges {
        let mut changes = TimerChanges::default();
        changes.set(new);
        changes
    }

    fn once(name: u128) -> TimerChanges {
        set(new_timer(name, 9, Schedule::after(Duration::ZERO), 1, KnownBy::Itself))
    }

    /// Commits these changes. Returns what they changed.
    fn commit(timers: &KeptTimers, mut changes: TimerChanges, ticket: u64) -> TimerChanges {
        let mut step = timers.in_step();
        step.narrow(&mut changes);
        step.changed(changes.clone(), Position(ticket));
        changes
    }

    fn named(due: u64, seconds: u64, number: u32) -> TimerChanges {
        let every = Schedule::every(Duration::from_secs(seconds)).unwrap();
        set(new_timer(7, due, every, number, KnownBy::Name("nightly")))
    }

    #[test]
    fn a_bound_counts_what_would_be_there() {
        let timers = KeptTimers::default();
        assert_eq!(timers.in_step().keep_within(&once(1), 1), Ok(()));
        commit(&timers, once(1), 1);
        assert_eq!(timers.in_step().keep_within(&once(2), 1), Err(1));
        commit(&timers, once(3), 2);
        assert_eq!(timers.len(), 2, "a turn is not held back");
        commit(&timers, named(5, 1, 1), 3);
        let mut again = named(6, 1, 1);
        timers.in_step().narrow(&mut again);
        assert!(again.is_empty() && timers.in_step().keep_within(&again, 1).is_ok(), "one that is there needs no room");
    }

    #[test]
    fn a_timer_is_cancelled_once() {
        let timers = KeptTimers::default();
        commit(&timers, once(1), 1);
        let mut cancel = TimerChanges::default();
        cancel.cancel(timer(1));
        assert_eq!(commit(&timers, cancel.clone(), 2).cancelled.len(), 1);
        assert_eq!(commit(&timers, cancel, 3).cancelled, [], "it is not there any more");
    }

    #[test]
    fn a_name_that_is_set_again_changes_what_is_new_about_it_and_nothing_else() {
        let timers = KeptTimers::default();
        let due = || timers.lock().index.get(timer(7)).unwrap();
        commit(&timers, named(50, 1, 1), 1);
        assert!(commit(&timers, named(90, 1, 1), 9).is_empty());
        assert_eq!(timers.last_submitted(), Position(1), "nothing was changed");
        assert_eq!(due(), Entry::new(Due::Steady(Steady(50)), Position(1)));
        // Another message, at the moments that were there.
        commit(&timers, named(90, 1, 2), 2);
        assert_eq!(due(), Entry::new(Due::Steady(Steady(50)), Position(2)));
        // Another schedule begins anew, and so does one that was cancelled.
        commit(&timers, named(95, 2, 2), 3);
        assert_eq!(due(), Entry::new(Due::Steady(Steady(95)), Position(3)));
        let mut changes = named(97, 2, 2);
        changes.cancelled.push(timer(7));
        commit(&timers, changes, 4);
        assert_eq!((due(), timers.len()), (Entry::new(Due::Steady(Steady(97)), Position(4)), 1));
    }

    #[test]
    fn timers_without_a_name_that_do_the_same_are_one() {
        let timers = KeptTimers::default();
        let every = || Schedule::every(Duration::from_secs(1)).unwrap();
        commit(&timers, set(new_timer(8, 50, every(), 1, KnownBy::Content)), 1);
        assert!(commit(&timers, set(new_timer(8, 90, every(), 1, KnownBy::Content)), 2).is_empty());
        // What this build could not fire is set anew.
        timers.lock().index.set(timer(8), Entry::new(Due::Never, Position(1)));
        assert!(!commit(&timers, set(new_timer(8, 90, every(), 1, KnownBy::Content)), 2).is_empty());
    }
}
