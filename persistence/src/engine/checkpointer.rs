//! The thread that brings the tables up to date.
//!
//! It sleeps until something is durable that the tables lack, then as long as the age allows or until it is urgent.
//! One checkpoint is one transaction: then there is no half of one to recover from, and no bookkeeping for it. What
//! keeps it short is its size, which the writer bounds by waiting when too much is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoints::LOOK_EVERY;
use super::shared::Shared;
use crate::admission::Admission;
use crate::error::CommitError;
use crate::files::Reserve;
use crate::queue::Ending;
use crate::statistics::add;
use crate::tables::{Scrub, Tables};

/// How long the tables are compared with what was noted of them at each look: it takes little from whoever waits for a
/// checkpoint.
const SCRUB_FOR: Duration = Duration::from_millis(5);

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
