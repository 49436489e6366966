//! How the writer and the checkpointer talk to each other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::CommitError;
use crate::ids::Group;
use crate::queue::Ending;

/// How often the files of the store and their disk are looked at, at least: an idle store, too, notices within this
/// that they are gone.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The state of the conversation between the writer and the checkpointer.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    state: Mutex<State>,
    /// Wakes the checkpointer.
    wanted: Condvar,
    /// Wakes the writer.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Something is in the overlay.
    pending: bool,
    /// Do not wait for the age.
    urgent: bool,
    ending: Option<Ending>,
    /// How many checkpoints were taken.
    count: u64,
    /// The last group in the tables.
    applied: Group,
}

impl Checkpoints {
    /// Sets how far the tables are when the store is opened.
    pub(crate) fn start_at(&self, applied: Group) {
        self.lock().applied = applied;
    }

    /// Says that something is in the overlay, and whether it cannot wait.
    pub(crate) fn want(&self, urgent: bool) {
        let mut state = self.lock();
        let news = !state.pending || (urgent && !state.urgent);
        state.pending = true;
        state.urgent |= urgent;
        drop(state);
        if news {
            self.wanted.notify_one();
        }
    }

    /// How many checkpoints were taken, and the last group in the tables.
    pub(crate) fn progress(&self) -> (u64, Group) {
        let state = self.lock();
        (state.count, state.applied)
    }

    /// Waits until there are more than `seen` checkpoints, or the end is near.
    pub(crate) fn wait_beyond(&self, seen: u64) {
        let mut state = self.lock();
        while state.count <= seen && state.ending.is_none() {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the thread take a last checkpoint and end.
    pub(crate) fn finish(&self) {
        self.end(Ending::Clean);
    }

    /// Lets the thread end as soon as it can.
    pub(crate) fn abandon(&self) {
        self.end(Ending::Abandon);
    }

    fn end(&self, ending: Ending) {
        let mut state = self.lock();
        if state.ending.is_none() || ending == Ending::Abandon {
            state.ending = Some(ending);
        }
        drop(state);
        self.wanted.notify_one();
        self.taken.notify_all();
    }

    /// Waits until a checkpoint is due; how to end, if it is time for that. Calls `look` meanwhile.
    pub(super) fn wait_until_due(
        &self,
        mut age: Duration,
        mut look: impl FnMut() -> Result<(), CommitError>,
    ) -> Result<Option<Ending>, CommitError> {
        while !self.wait_while(LOOK_EVERY, |state| !state.pending && state.ending.is_none()) {
            look()?;
        }
        while !age.is_zero() {
            let step = age.min(LOOK_EVERY);
            if self.wait_while(step, |state| !state.urgent && state.ending.is_none()) {
                break;
            }
            age -= step;
            look()?;
        }
        let mut state = self.lock();
        state.pending = false;
        state.urgent = false;
        Ok(state.ending)
    }

    /// Waits as long as `patient` says so, but no longer than this; whether that ended it.
    fn wait_while(&self, wait: Duration, mut patient: impl FnMut(&State) -> bool) -> bool {
        let waited = self.wanted.wait_timeout_while(self.lock(), wait, |state| patient(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn record(&self, applied: Group) {
        let mut state = self.lock();
        state.count += 1;
        state.applied = applied;
        drop(state);
        self.taken.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
