//! What a node is for as long as it is held, whichever shard it has.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::builder::NodeBuilder;
use super::running::Running;
use crate::shard::Shard;
use crate::shard::current::Current;

pub(super) struct Host {
    pub(super) name: Arc<str>,
    /// Where the node listens for others; none without a cluster.
    pub(super) address: Option<SocketAddr>,
    /// What it is opened with again.
    pub(super) builder: NodeBuilder,
    pub(super) current: Current,
    running: Mutex<Running>,
    /// Whether the store is being opened again. Begins under the lock of what runs.
    reopening: watch::Sender<bool>,
    /// Somebody has told the node to stop, maybe while its store is being opened again.
    is_to_stop: AtomicBool,
}

impl Host {
    pub(super) fn new(builder: NodeBuilder, running: Running) -> Self {
        let Running { shard, links, .. } = &running;
        Self {
            name: Arc::clone(&shard.name),
            address: links.as_ref().map(|links| links.endpoint.local_address()),
            builder,
            current: Current::new(Arc::clone(shard)),
            running: Mutex::new(running),
            reopening: watch::Sender::new(false),
            is_to_stop: AtomicBool::new(false),
        }
    }

    pub(super) fn running(&self) -> Running {
        self.lock().clone()
    }

    /// Takes the links out of what runs: the address is free when the last who has them has gone.
    pub(super) fn forget_links(&self) {
        let links = self.lock().links.take();
        drop(links);
    }

    pub(super) fn replace(&self, running: Running) {
        self.current.replace(Arc::clone(&running.shard));
        let before = std::mem::replace(&mut *self.lock(), running);
        // Not under the lock: it may be the last to hold it.
        drop(before);
    }

    /// The node is to stop: an opening of its store that is under way is cut off.
    pub(super) fn tell_to_stop(&self) {
        self.is_to_stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_to_stop(&self) -> bool {
        self.is_to_stop.load(Ordering::SeqCst)
    }

    /// Waits until the store is not being opened again, and does this in the same step. Who waits here holds up nobody
    /// else, whether he is polled or not.
    pub(super) async fn at_rest<T>(&self, step: impl FnOnce(&Running) -> T) -> T {
        let mut reopening = self.reopening.subscribe();
        loop {
            // The sender lives as long as this does.
            let _ = reopening.wait_for(|reopening| !*reopening).await;
            let running = self.lock();
            if !*self.reopening.borrow() {
                return step(&running);
            }
        }
    }

    /// Whether the node has another shard than this one when it is at rest.
    pub(super) async fn has_replaced(&self, shard: &Arc<Shard>) -> bool {
        self.at_rest(|running| !Arc::ptr_eq(&running.shard, shard)).await
    }

    /// The store is being opened again until what is returned is dropped. For a step of [`at_rest`](Self::at_rest).
    pub(super) fn begin_reopening(&self) -> Reopening<'_> {
        self.reopening.send_replace(true);
        Reopening(self)
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Host::begin_reopening`].
#[must_use]
pub(super) struct Reopening<'a>(&'a Host);

impl Drop for Reopening<'_> {
    fn drop(&mut self) {
        self.0.reopening.send_replace(false);
    }
}
