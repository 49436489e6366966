//! What runs of a node: its shard, and what works on it. A node that opens its store again has another one from then
//! on.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ractor::ActorRef;
use tokio::task::JoinHandle;

use super::stop::Stopping;
use super::watchdog::Watchdog;
use crate::link::{LinkOrder, Links};
use crate::shard::Shard;
use crate::supervise::group::Groups;

/// Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) shard: Arc<Shard>,
    pub(super) tasks: Arc<Tasks>,
    /// None for a node without a cluster.
    pub(super) links: Option<Arc<Links>>,
}

/// What runs in the background for a node.
pub(super) struct Tasks {
    supervisors: Mutex<Vec<JoinHandle<()>>>,
    /// None once the stop has taken them.
    background: Mutex<Option<Vec<JoinHandle<()>>>>,
    /// The outcome of the one stop, once that has begun.
    pub(super) stopping: OnceLock<Stopping>,
    /// Whether it is over.
    pub(super) stopped: tokio::sync::watch::Sender<bool>,
    links: Mutex<Option<(ActorRef<LinkOrder>, JoinHandle<()>)>>,
    pub(super) groups: Groups,
    /// Taken by the stop.
    watchdog: Mutex<Option<Watchdog>>,
}

impl Tasks {
    pub(super) fn new(watchdog: Watchdog) -> Self {
        Self {
            supervisors: Mutex::default(),
            background: Mutex::new(Some(Vec::new())),
            stopping: OnceLock::new(),
            stopped: tokio::sync::watch::Sender::new(false),
            links: Mutex::default(),
            groups: Groups::default(),
            watchdog: Mutex::new(Some(watchdog)),
        }
    }

    pub(super) fn set_links(&self, supervisor: ActorRef<LinkOrder>, ended: JoinHandle<()>) {
        *lock(&self.links) = Some((supervisor, ended));
    }

    pub(super) fn take_links(&self) -> Option<(ActorRef<LinkOrder>, JoinHandle<()>)> {
        lock(&self.links).take()
    }

    pub(super) fn add_supervisor(&self, task: JoinHandle<()>) {
        lock(&self.supervisors).push(task);
    }

    pub(super) fn add_background(&self, task: JoinHandle<()>) {
        match &mut *lock(&self.background) {
            Some(background) => background.push(task),
            // The node has ended while it was started.
            None => task.abort(),
        }
    }

    pub(super) fn end_watchdog(&self) {
        drop(lock(&self.watchdog).take());
    }

    pub(super) fn take_supervisors(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *lock(&self.supervisors))
    }

    pub(super) fn take_background(&self) -> Vec<JoinHandle<()>> {
        lock(&self.background).take().unwrap_or_default()
    }
}

fn lock<T>(tasks: &Mutex<T>) -> MutexGuard<'_, T> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}
