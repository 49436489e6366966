//! Counters of a store, for benchmarks, tests and metrics. They decide nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has done since it was opened, and what it holds now. The numbers are read one by one, not at one
/// moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Groups committed to the journal.
    pub groups: u64,
    /// Submissions in them.
    pub turns: u64,
    /// Changes in them, before folding.
    pub changes: u64,
    /// Changes that were written to the journal, after folding.
    pub records: u64,
    /// Bytes written to the journal, before LMDB rounds to pages.
    pub journal_bytes: u64,
    /// Checkpoints taken.
    pub checkpoints: u64,
    /// Changes that checkpoints wrote to the tables.
    pub checkpoint_records: u64,
    /// Records that were read by key or passed in a scan, whether they were there or not.
    pub records_read: u64,
    /// Times that the writer waited for the checkpointer.
    pub waits_for_checkpoint: u64,
    /// Bytes in use in the map of the journal, without free pages.
    pub journal_used_bytes: u64,
    /// Bytes in use in the map of the tables, without free pages, at the last checkpoint.
    pub tables_used_bytes: u64,
    /// Submissions that wait for the writer.
    pub queue_turns: u64,
    /// Bytes of changes in memory that are durable in the journal, and not in the tables yet.
    pub overlay_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) turns: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) journal_bytes: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_records: AtomicU64,
    pub(crate) records_read: AtomicU64,
    pub(crate) waits_for_checkpoint: AtomicU64,
}

/// Adds to a counter; counters order nothing.
pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl Counters {
    /// The counters; what the store holds now is left at zero.
    pub(crate) fn read(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            groups: read(&self.groups),
            turns: read(&self.turns),
            changes: read(&self.changes),
            records: read(&self.records),
            journal_bytes: read(&self.journal_bytes),
            checkpoints: read(&self.checkpoints),
            checkpoint_records: read(&self.checkpoint_records),
            records_read: read(&self.records_read),
            waits_for_checkpoint: read(&self.waits_for_checkpoint),
            ..Statistics::default()
        }
    }
}
