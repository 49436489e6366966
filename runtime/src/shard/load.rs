//! Counts of what a node holds and has done.

use std::sync::atomic::AtomicU64;

use crate::base::count::Count;

/// What every message changes, on cache lines of its own: all threads write here, and what lies beside it they only
/// read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Load {
    /// Bytes of bodies in the windows of all mailboxes.
    pub(crate) window_bytes: Count,
    /// Messages that wait or are in flight, over all mailboxes.
    pub(crate) waiting: Count,
    /// Turns that were submitted.
    pub(crate) handled: AtomicU64,
    /// Bytes of bodies that are in the store only.
    pub(crate) beyond_bytes: Count,
}

impl Load {
    /// The bytes of all messages that wait or are in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.window_bytes.get().saturating_add(self.beyond_bytes.get())
    }
}

/// What a node has seen since it was started, and not with every message.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) failed: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) volatile_dropped: AtomicU64,
}
