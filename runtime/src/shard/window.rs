//! Room for the bodies of messages that are read from the store: those in the windows of all mailboxes, and those on
//! their way there, together have a bound in bytes.
//!
//! A message that is sent leaves its body there if its mailbox may use it soon: not one that rests, which is paused,
//! down, or backs off, and not one that has its share of the window. What is in the window of a mailbox that comes to
//! rest leaves with the next sweep.
//!
//! A body has room before it is read. Whoever finds none waits in a queue, first come, first served; while somebody
//! does, messages that are sent leave their bodies to the store. When that is for long, what fills the windows may not
//! go: it waits behind a handler that does not end, in a mailbox that is paused, until a moment. Then every body that
//! is not in flight or held is left to the store, which is read again when it is needed; and what is in flight and does
//! not end lets more in, since it may wait for what is not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everpost_persistence::Position;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::base::count::Count;
use crate::base::rules::allowance::Allowance;
use crate::mailbox::Inner;
use crate::shard::Shard;
use crate::shard::rules::share::{Fill, keeps};

/// How long it is waited for room. What it is used for may wait for what has none.
const PATIENCE: Duration = Duration::from_secs(1);
/// So much there is in any case: what a few turns have in flight, however small the window.
const BYTES_MIN: usize = 1 << 20;

/// The bound of a node, and who waits for it.
#[derive(Debug)]
pub(crate) struct Window {
    allowance: Mutex<Allowance>,
    /// Bytes of bodies that are being read.
    loading: Count,
    /// How many wait for room. Looked at for every message that leaves.
    waiting: AtomicUsize,
    /// Whoever holds it is the first in the queue.
    first: tokio::sync::Mutex<()>,
    /// Rung when room was made and somebody waits.
    made: Notify,
}

/// Room for bodies that are being read, or about to be.
pub(crate) struct Room {
    shard: Arc<Shard>,
    bytes: usize,
}

impl Window {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            allowance: Mutex::new(Allowance::new(bytes_max.max(BYTES_MIN))),
            loading: Count::default(),
            waiting: AtomicUsize::new(0),
            first: tokio::sync::Mutex::default(),
            made: Notify::new(),
        }
    }

    /// Whether somebody waits for room. In the one order of all such steps and looks: whoever has made room before
    /// either sees who waits, or is seen by them.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn lock(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Bodies have left memory: tells whoever waits for room.
    pub(crate) fn made_room_in_window(&self) {
        if self.window.is_waited_for() {
            self.window.made.notify_one();
        }
    }

    /// The node stops: whoever waits for room need not any more.
    pub(crate) fn dismiss_readers(&self) {
        self.window.made.notify_one();
    }

    /// Bytes of bodies in memory, and of those on their way there.
    pub(crate) fn bytes_in_memory(&self) -> usize {
        self.load.window_bytes.get().saturating_add(self.window.loading.get())
    }

    /// Whether a body of so many bytes stays in memory that is there already, in a mailbox in which it waits as one of
    /// `own` bytes: by the setting alone, since it can be read again. Not while others wait for room to be read into.
    pub(crate) fn window_keeps(&self, bytes: usize, own: usize) -> bool {
        let fill = Fill { used: self.bytes_in_memory().saturating_add(bytes), max: self.config.window_bytes_max };
        keeps(fill, own, || self.activations.count()) && !self.window.is_waited_for()
    }

    /// Takes the bodies of a mailbox out of memory: every one that is on the disk, and neither in flight nor held.
    pub(crate) fn leave_to_the_store(&self, inner: &mut Inner, durable: Position) {
        let left = inner.leave_to_the_store(durable);
        // First where it comes to, so that the node is never emptier than it is.
        self.load.beyond_bytes.add(left);
        self.load.window_bytes.take(left);
    }
}

impl Room {
    pub(crate) fn none(shard: &Arc<Shard>) -> Self {
        Self { shard: Arc::clone(shard), bytes: 0 }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.bytes == 0
    }

    /// So much more, for somebody who must not wait.
    pub(crate) fn take_in_any_case(&mut self, bytes: usize) {
        self.shard.window.loading.add(bytes);
        self.bytes += bytes;
    }

    /// So much more, if there is some and nobody waits for it.
    pub(crate) fn take_at_once(&mut self, bytes: usize) -> bool {
        !self.shard.window.is_waited_for() && self.try_take(bytes)
    }

    /// So much more, as soon as there is some. False when the node stops before.
    pub(crate) async fn take(&mut self, bytes: usize) -> bool {
        let shard = Arc::clone(&self.shard);
        let _waiting = Waits::new(&shard);
        let _first = shard.window.first.lock().await;
        while timeout(PATIENCE, self.once_made(bytes)).await.is_err() {
            shard.leave_bodies_to_the_store();
            let mut allowance = shard.window.lock();
            let used = shard.bytes_in_memory();
            if !allowance.admits(used, bytes) {
                allowance.raise(used, bytes);
            }
        }
        !self.is_none()
    }

    async fn once_made(&mut self, bytes: usize) {
        while !self.try_take(bytes) && !self.shard.is_stopping() {
            self.shard.window.made.notified().await;
        }
    }

    fn try_take(&mut self, bytes: usize) -> bool {
        let shard = Arc::clone(&self.shard);
        let mut allowance = shard.window.lock();
        // Under the lock, so that no two take the same.
        let is_admitted = allowance.admits(shard.bytes_in_memory(), bytes);
        if is_admitted {
            self.take_in_any_case(bytes);
        }
        is_admitted
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shard.window.loading.take(self.bytes);
        self.shard.made_room_in_window();
    }
}

/// Somebody who waits for room, or has stopped waiting.
struct Waits<'a>(&'a Shard);

impl<'a> Waits<'a> {
    fn new(shard: &'a Shard) -> Self {
        shard.window.waiting.fetch_add(1, Ordering::SeqCst);
        Self(shard)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.window.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shard {
    /// Takes out of memory what need not be there.
    fn leave_bodies_to_the_store(&self) {
        let durable = self.store.durable();
        self.directory.for_each(|mailbox| self.leave_to_the_store(&mut mailbox.lock(), durable));
        self.made_room_in_window();
    }
}
