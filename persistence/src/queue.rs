//! What waits for the writer, and the one place where positions are given out.
//!
//! A submission is decided in one step under one lock: its positions, its place and its ticket. The queue is flat:
//! the changes of all submissions in one vector, with a mark where each ends, so that a submission allocates nothing
//! and the writer takes everything by swapping two vectors.

mod index;
mod leisure;
mod rules;
mod stage;
mod submissions;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::leisure::{LEISURE, Leisure};
pub(crate) use self::rules::Gathering;
use self::rules::MOMENT;
pub use self::stage::Stage;
pub(crate) use self::submissions::{Mark, Newest, Submissions};
use crate::admission::Permit;
use crate::batch::Change;
use crate::ids::Position;
use crate::key::Key;
use crate::table::Schema;

/// How the writer is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything submitted becomes durable first, then a last checkpoint is taken.
    Clean,
    /// At once, as a crash would.
    Abandon,
}

/// What the writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Submissions were taken.
    Submissions,
    /// The journal can be cut, and should be.
    Cut,
    /// Nothing waits, and nothing will.
    End(Ending),
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// What the writer has taken. Locked after the state.
    in_flight: RwLock<Submissions>,
    arrived: Condvar,
    /// The first position of what waits and may be left for a moment; [`NOTHING`] while there is none. Changed under
    /// the lock of the state; looked at without it, since whoever waits for a commit asks each time.
    unhurried: AtomicU64,
    partitions: u16,
    schema: Schema,
}

#[derive(Debug)]
struct State {
    waiting: Submissions,
    next: Position,
    leisure: Leisure,
    /// What the writer sleeps for, if it does. Without it a submission would pay for a system call each time.
    asleep: Option<Asleep>,
    cut: bool,
    ending: Option<Ending>,
    /// False once the writer has ended: nobody would take what is put in.
    open: bool,
}

/// What a writer that sleeps is woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asleep {
    /// Any submission.
    UntilSubmission,
    /// What is not to be left any longer.
    UntilHurry,
}

/// No position is as high.
const NOTHING: u64 = u64::MAX;

impl Queue {
    pub(crate) fn new(partitions: u16, schema: Schema, next: Position) -> Self {
        let state = State {
            waiting: Submissions::default(),
            next,
            leisure: Leisure::default(),
            asleep: None,
            cut: false,
            ending: None,
            open: true,
        };
        Self {
            state: Mutex::new(state),
            in_flight: RwLock::default(),
            arrived: Condvar::new(),
            unhurried: AtomicU64::new(NOTHING),
            partitions,
            schema,
        }
    }

    /// Appends one submission, or drops it if the writer has ended.
    pub(crate) fn submit<R>(&self, permit: Permit<'_>, stage: impl FnOnce(&mut Stage<'_>) -> R) -> (Position, R) {
        self.append(permit, true, stage)
    }

    /// The same for what nobody waits for: the writer may leave it for a moment.
    pub(crate) fn submit_unhurried<R>(
        &self,
        permit: Permit<'_>,
        stage: impl FnOnce(&mut Stage<'_>) -> R,
    ) -> (Position, R) {
        self.append(permit, false, stage)
    }

    fn append<R>(
        &self,
        permit: Permit<'_>,
        is_hurried: bool,
        stage: impl FnOnce(&mut Stage<'_>) -> R,
    ) -> (Position, R) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let open = state.open;
        // If the closure panics, nothing of this submission is left behind, not even a position.
        let mut rollback = Rollback { before: state.waiting.changes.len(), changes: &mut state.waiting.changes };
        let mut staged = Stage::new(rollback.changes, state.next, self.partitions, self.schema);
        let result = stage(&mut staged);
        let (ticket, bytes) = staged.end();
        if open {
            rollback.before = rollback.changes.len();
        }
        drop(rollback);
        if open {
            let changes = state.waiting.changes.len();
            state.waiting.marks.push(Mark { ticket, changes, bytes, units: permit.spend() });
        }
        if is_hurried {
            state.leisure.hurry();
        }
        self.note_unhurried(state);
        state.next = ticket.next();
        let wake = open && state.wakes();
        drop(guard);
        if wake {
            self.arrived.notify_one();
        }
        (ticket, result)
    }

    /// Waits for work, and under load for more of it. Submissions are in flight from then on; nothing must be in flight
    /// before.
    pub(crate) fn wait(&self, gathering: &mut Gathering) -> Work {
        let mut state = self.lock();
        loop {
            if state.ending == Some(Ending::Abandon) {
                return Work::End(Ending::Abandon);
            }
            if !state.waiting.marks.is_empty() {
                if state.ending.is_none() && !state.leisure.has_none(state.waiting.changes.len()) {
                    state.asleep = Some(Asleep::UntilHurry);
                    (state, _) = self.arrived.wait_timeout(state, LEISURE).unwrap_or_else(PoisonError::into_inner);
                    state.asleep = None;
                    // Also where it was woken early: nothing is left for longer than that.
                    state.leisure.pass();
                    continue;
                }
                if state.ending.is_none() && gathering.goes_on(state.waiting.changes.len()) {
                    // No submission wakes it.
                    (state, _) = self.arrived.wait_timeout(state, MOMENT).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                gathering.taken();
                let mut in_flight = self.in_flight_to_change();
                assert!(in_flight.is_empty(), "what was taken is committed before more is taken");
                // Its memory is used again for the next ones.
                std::mem::swap(&mut state.waiting, &mut in_flight);
                state.leisure.begin();
                self.unhurried.store(NOTHING, Ordering::Release);
                return Work::Submissions;
            }
            if let Some(ending) = state.ending {
                return Work::End(ending);
            }
            if std::mem::take(&mut state.cut) {
                return Work::Cut;
            }
            state.asleep = Some(Asleep::UntilSubmission);
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep = None;
        }
    }

    /// Somebody waits for everything up to `after` to become durable: none of it is left any longer.
    pub(crate) fn hurry(&self, after: Position) {
        let is_left = || {
            let first = self.unhurried.load(Ordering::Acquire);
            first != NOTHING && first <= after.0
        };
        if !is_left() {
            return;
        }
        let mut state = self.lock();
        if !is_left() {
            return;
        }
        state.leisure.hurry();
        self.note_unhurried(&state);
        let wake = state.wakes();
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// What the writer has taken. Whoever holds it keeps the writer from going on.
    pub(crate) fn in_flight(&self) -> RwLockReadGuard<'_, Submissions> {
        self.in_flight.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be moved on: whoever looks for a record finds it here until it is there.
    pub(crate) fn in_flight_to_change(&self) -> RwLockWriteGuard<'_, Submissions> {
        self.in_flight.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the newest submission that has not landed says of a record; `None` if there is none.
    ///
    /// Submissions go from here into flight, and from there into memory that everybody reads, and each step is one
    /// under the locks of both ends. So whoever looks in this order misses none.
    pub(crate) fn newest(&self, key: &Key) -> Option<Newest> {
        let waiting = self.lock().waiting.newest(key);
        waiting.or_else(|| self.in_flight().newest(key))
    }

    /// Asks the writer to end; the first wish wins, except that abandoning is always possible.
    pub(crate) fn end(&self, ending: Ending) {
        let mut state = self.lock();
        if state.ending.is_none() || ending == Ending::Abandon {
            state.ending = Some(ending);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Asks the writer to cut the journal although nothing was submitted.
    pub(crate) fn request_cut(&self) {
        self.lock().cut = true;
        self.arrived.notify_one();
    }

    /// Whether the writer should leave at once, also in the middle of its work.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().ending == Some(Ending::Abandon)
    }

    /// From here on submissions are dropped; so is what is waiting, and its room is given back by closing the
    /// admission. False if something arrived that a clean end still has to commit.
    pub(crate) fn shut(&self, even_if_waiting: bool) -> bool {
        let mut state = self.lock();
        if !even_if_waiting && !state.waiting.marks.is_empty() {
            return false;
        }
        state.open = false;
        state.waiting = Submissions::default();
        self.in_flight_to_change().clear();
        true
    }

    /// How many submissions wait for the writer.
    pub(crate) fn depth(&self) -> usize {
        self.lock().waiting.marks.len()
    }

    /// Notes where what may be left for a moment begins: before anybody can know of a position that is given out there.
    fn note_unhurried(&self, state: &State) {
        let is_none = self.unhurried.load(Ordering::Relaxed) == NOTHING;
        if state.leisure.has_none(state.waiting.changes.len()) {
            if !is_none {
                self.unhurried.store(NOTHING, Ordering::Release);
            }
        } else if is_none {
            self.unhurried.store(state.next.0, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock can come from a caller's `stage` only, and `Rollback` has undone that.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a writer that sleeps is to be woken, by the caller.
    fn wakes(&mut self) -> bool {
        let has_none = self.leisure.has_none(self.waiting.changes.len());
        let wakes = |asleep: &mut Asleep| *asleep == Asleep::UntilSubmission || has_none;
        self.asleep.take_if(wakes).is_some()
    }
}

/// Removes what a submission has staged, unless it was accepted.
struct Rollback<'a> {
    changes: &'a mut Vec<Change>,
    before: usize,
}

impl Drop for Rollback<'_> {
    fn drop(&mut self) {
        self.changes.truncate(self.before);
    }
}

#[cfg(test)]
mod tests;
