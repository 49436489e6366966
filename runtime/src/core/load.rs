//! Counts of what a node holds and has done.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::count::Count;

/// How many activations are in memory, and how many may be there idle.
#[derive(Debug)]
pub(crate) struct Activations {
    running: Count,
    idle_max: usize,
}

/// What every message changes, on cache lines of its own: all threads write here, and what lies beside it they only read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Load {
    /// Bytes of bodies in the windows of all mailboxes.
    pub(super) window_bytes: Count,
    /// Messages that wait or are in hand, over all mailboxes.
    pub(super) waiting: Count,
    /// Turns that were submitted.
    pub(crate) handled: AtomicU64,
    /// Bytes of bodies that are in the store only.
    pub(super) beyond_bytes: Count,
}

/// Where senders wait for room in the node. Looked at for every message and seldom written, so it is not part of [`Load`],
/// whose line would no longer hold all that is written for every message.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Room {
    /// Rung when a message leaves.
    pub(crate) made: Notify,
    senders_waiting: AtomicUsize,
}

/// A sender that waits for room in the node; counted until it is dropped.
pub(crate) struct WaitingSender<'a>(&'a Room);

impl Drop for WaitingSender<'_> {
    fn drop(&mut self) {
        self.0.senders_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub(crate) fn count_sender(&self) -> WaitingSender<'_> {
        self.senders_waiting.fetch_add(1, Ordering::Relaxed);
        WaitingSender(self)
    }

    pub(super) fn has_waiting_senders(&self) -> bool {
        self.senders_waiting.load(Ordering::Relaxed) > 0
    }
}

impl Load {
    /// The bytes of all messages that wait or are in hand.
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
}

impl Activations {
    pub(super) fn new(idle_max: usize) -> Self {
        Self { running: Count::default(), idle_max }
    }

    pub(crate) fn enter(&self) {
        self.running.add(1);
    }

    pub(crate) fn leave(&self) {
        self.running.take(1);
    }

    pub(crate) fn count(&self) -> usize {
        self.running.get()
    }

    pub(crate) fn are_too_many(&self) -> bool {
        self.count() > self.idle_max
    }
}
