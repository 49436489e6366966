//! The thread that brings the tables up to date, and how the writer talks to it.
//!
//! It sleeps until something is durable that the tables lack, then as long as the age allows or until it is urgent.
//! One checkpoint is one transaction: then there is no half of one to recover from, and no bookkeeping for it. What
//! keeps it short is its size, which the writer bounds by waiting when too much is held.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::admission::Admission;
use crate::error::CommitError;
use crate::ids::Group;
use crate::queue::Ending;
use crate::reserve::Reserve;
use crate::shared::Shared;
use crate::statistics::add;
use crate::tables::{Scrub, Tables};

/// How often the files of the store and their disk are looked at, at least: an idle store, too, notices within this that they are gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the tables are compared with what was noted of them at each look: it takes little from whoever waits for a
/// checkpoint.
const SCRUB_FOR: Duration = Duration::from_millis(5);

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
    fn wait_until_due(
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

    fn record(&self, applied: Group) {
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

/// What is looked after while the store is open.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// The disk of both data files.
    journal: Reserve,
    tables: Reserve,
    /// What the tables hold, and when that was compared for a while.
    scrub: Scrub,
    scrubbed: Instant,
}

impl Upkeep {
    /// Of a store that has just been opened, and compared with that.
    pub(crate) fn new(journal: Reserve, tables: Reserve, scrub: Scrub) -> Self {
        Self { journal, tables, scrub, scrubbed: now() }
    }

    /// Whether the files are where they were, and how much disk they have.
    fn look(&self, shared: &Shared) -> Result<(), CommitError> {
        shared.witness.look()?;
        self.renew(&shared.admission);
        Ok(())
    }

    /// Compares the tables for a while, unless that was done just before.
    fn scrub(&mut self, tables: &Tables) -> Result<(), CommitError> {
        if self.scrubbed.elapsed() >= LOOK_EVERY {
            let begun = now();
            tables.scrub(&mut self.scrub, || begun.elapsed() < SCRUB_FOR)?;
            self.scrubbed = now();
        }
        Ok(())
    }

    /// How much disk they have, and how much is left for others.
    pub(crate) fn renew(&self, admission: &Admission) {
        let (journal, tables) = (self.journal.renew(), self.tables.renew());
        // Either may take half of what is free.
        let free = admission.refresh_disk() / 2;
        admission.set_disk(journal.saturating_add(free), tables.saturating_add(free));
    }
}

#[expect(clippy::disallowed_methods, reason = "how much of its time a thread spends on looking decides nothing")]
fn now() -> Instant {
    Instant::now()
}

/// Runs until the store ends. An error poisons the store: the journal has everything, but could not be cut any more.
pub(crate) fn run(shared: &Arc<Shared>, tables: &Tables, mut upkeep: Upkeep) -> Result<(), CommitError> {
    loop {
        let look = || {
            upkeep.look(shared)?;
            upkeep.scrub(tables)
        };
        match shared.checkpoints.wait_until_due(shared.limits.checkpoint_age, look)? {
            Some(Ending::Abandon) => return Ok(()),
            Some(Ending::Clean) => return checkpoint(shared, tables, &mut upkeep),
            None => {
                checkpoint(shared, tables, &mut upkeep)?;
                upkeep.scrub(tables)?;
            }
        }
    }
}

fn checkpoint(shared: &Arc<Shared>, tables: &Tables, upkeep: &mut Upkeep) -> Result<(), CommitError> {
    upkeep.look(shared)?;
    let Some(frozen) = shared.overlay.freeze() else { return Ok(()) };
    tables.clear_stale_readers();
    tables.apply(&frozen, &mut upkeep.scrub)?;
    add(&shared.counters.checkpoints, 1);
    add(&shared.counters.checkpoint_records, frozen.len());
    let applied = frozen.last_group;
    drop(frozen);
    let held = shared.overlay.thaw();
    shared.admission.set_overlay(held);
    // Without a number the last one stays: it decides about admission only.
    if let Ok(used) = tables.used_bytes() {
        shared.admission.set_tables_used(used);
    }
    shared.checkpoints.record(applied);
    if !held.nothing {
        shared.checkpoints.want(shared.admission.is_crowded());
    }
    if shared.admission.journal_used() > shared.limits.journal_checkpoint() {
        shared.queue.request_cut();
    }
    Ok(())
}
