//! Counts of what a node holds and has done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::count::Count;

/// How many activations are in memory, and how many may be there idle.
#[derive(Debug)]
pub(crate) struct Activations {
    running: Count,
    /// Supervisors were told to start these, and have not yet.
    ordered: Count,
    idle_max: usize,
    /// Mailboxes wait to be woken, so that no activation stays idle.
    is_crowded: AtomicBool,
    /// Rung when one leaves.
    left: Notify,
}

/// As long as this lives no activation stays idle.
#[derive(Debug)]
pub(crate) struct Crowd<'a>(&'a Activations);

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        self.0.is_crowded.store(false, Ordering::Relaxed);
    }
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
    pub(crate) volatile_dropped: AtomicU64,
}

impl Activations {
    pub(super) fn new(idle_max: usize) -> Self {
        Self {
            running: Count::default(),
            ordered: Count::default(),
            idle_max,
            is_crowded: AtomicBool::new(false),
            left: Notify::new(),
        }
    }

    /// A supervisor is told to start one.
    pub(crate) fn order(&self) {
        self.ordered.add(1);
    }

    /// The supervisor has, or will not.
    pub(crate) fn ordered(&self) {
        self.ordered.take(1);
    }

    pub(crate) fn enter(&self) {
        self.running.add(1);
    }

    pub(crate) fn leave(&self) {
        self.running.take(1);
        self.left.notify_one();
    }

    pub(crate) fn count(&self) -> usize {
        self.running.get()
    }

    /// Whether one that has nothing to do leaves at once.
    pub(crate) fn are_too_many(&self) -> bool {
        self.count() > self.idle_max || self.is_crowded.load(Ordering::Relaxed)
    }

    /// So many mailboxes are to be woken, one after another as activations leave.
    pub(crate) fn crowd(&self, mailboxes: usize) -> Option<Crowd<'_>> {
        let is_crowded = mailboxes > self.idle_max;
        self.is_crowded.store(is_crowded, Ordering::Relaxed);
        is_crowded.then(|| Crowd(self))
    }

    /// Completes when there are no more than may be, counting those that are about to start. For one task at a time.
    pub(crate) async fn have_room(&self) {
        while self.count() + self.ordered.get() > self.idle_max {
            self.left.notified().await;
        }
    }
}
