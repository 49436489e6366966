//! What a node is for as long as it is held, whichever shard it has.

use std::net::SocketAddr;
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
    /// An opening begins under the lock of what runs.
    openings: watch::Sender<Openings>,
    /// Whether somebody has told the node to stop, maybe while its store is being opened again.
    is_to_stop: watch::Sender<bool>,
}

/// How often the store was opened again.
#[derive(Clone, Copy, Debug, Default)]
struct Openings {
    is_under_way: bool,
    done: u64,
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
            openings: watch::Sender::new(Openings::default()),
            is_to_stop: watch::Sender::new(false),
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
        self.is_to_stop.send_replace(true);
    }

    pub(super) fn is_to_stop(&self) -> bool {
        *self.is_to_stop.borrow()
    }

    /// Completes when the node is to stop.
    pub(super) async fn told_to_stop(&self) {
        // The sender lives as long as this does.
        let _ = self.is_to_stop.subscribe().wait_for(|is_to_stop| *is_to_stop).await;
    }

    /// How often the store was opened again.
    pub(super) fn reopened(&self) -> u64 {
        self.openings.borrow().done
    }

    /// Waits until the store is not being opened again, and does this in the same step. Who waits here holds up nobody
    /// else, whether he is polled or not.
    pub(super) async fn at_rest<T>(&self, step: impl FnOnce(&Running) -> T) -> T {
        let mut openings = self.openings.subscribe();
        loop {
            // The sender lives as long as this does.
            let _ = openings.wait_for(|openings| !openings.is_under_way).await;
            let running = self.lock();
            if !self.openings.borrow().is_under_way {
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
        self.openings.send_modify(|openings| openings.is_under_way = true);
        Reopening { host: self, is_done: false }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Host::begin_reopening`].
#[must_use]
pub(super) struct Reopening<'a> {
    host: &'a Host,
    is_done: bool,
}

impl Reopening<'_> {
    /// The store was opened again.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Reopening<'_> {
    fn drop(&mut self) {
        self.host.openings.send_modify(|openings| {
            openings.is_under_way = false;
            openings.done += u64::from(self.is_done);
        });
    }
}
