//! Stopping is a protocol: take nothing in, finish the turns in hand, commit, close.

use std::time::Duration;

use everpost_persistence::CommitError;
use tokio::task::JoinHandle;

use super::Node;
use crate::link::LinkOrder;
use crate::supervision::Order;

/// How long an activation that was told to end at its next await may take to get there.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A stop that was not clean. Nothing that was acknowledged is lost; the next start replays what was not finished.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The store failed before or during the stop.
    #[error("the store failed before everything was written: {0}; the next start replays what was not")]
    Store(#[from] CommitError),
    /// Handlers were still running when the time was up. They were cut off at their next await, and their messages will
    /// be handled again.
    #[error("{0} supervisors were still waiting for handlers at the deadline; their messages will be handled again")]
    CutOff(usize),
    /// Groups had not stopped at the deadline. Their tasks were killed, and dropped at their next await.
    #[error("the groups {} had not stopped at the deadline; their tasks were killed", .0.join(", "))]
    GroupsKilled(Vec<String>),
}

impl Node {
    /// Stops the node: stops its groups, the last one first, while their tasks can still send (up to the setting `stop_timeout`,
    /// then kills them), takes in nothing more, lets the turns in hand finish (up to `stop_timeout` again, then cuts
    /// them off, which is no failure of their messages), tells the other nodes, commits, takes a last checkpoint and closes the store. What
    /// waits stays in the store. May be called again; the second call finds nothing to do.
    ///
    /// # Errors
    ///
    /// [`StopError`] says what was not clean.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a stop that is dropped half-way leaves a node that takes nothing in. Call it again.
    pub async fn stop(&self) -> Result<(), StopError> {
        let core = &self.core;
        let killed = self.tasks.groups.stop(core.config.stop_timeout, KILL_TIMEOUT).await;
        core.stop_intake();
        core.questions.close();
        core.room.made.notify_waiters();
        core.directory.for_each(|mailbox| mailbox.room.notify_waiters());
        core.kinds.values().for_each(|kind| kind.order(Order::Stop));
        let supervisors = self.tasks.take_supervisors();
        let late = join(supervisors, core.config.stop_timeout).await;
        let cut_off = late.len();
        if cut_off > 0 {
            core.kinds.values().for_each(|kind| kind.kill());
            join(late, KILL_TIMEOUT).await;
        }
        self.stop_links().await;
        for task in self.tasks.take_background() {
            task.abort();
        }
        let store = core.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        // Receipts and replies of the last commits leave now; whoever waits for more will not get it here.
        core.gate.open(|effect| core.release(effect));
        core.gate.close();
        core.dismiss_waiters();
        closed.expect("closing does not panic, and the runtime is running")?;
        tracing::info!(node = %core.name, waiting = core.waiting(), event = "stopped", "what waits is handled after the next start");
        match killed.is_empty() {
            true if cut_off == 0 => Ok(()),
            true => Err(StopError::CutOff(cut_off)),
            false => Err(StopError::GroupsKilled(killed)),
        }
    }
}

impl Node {
    /// Tells the peers, and ends the links. What they have not acknowledged stays in the store.
    async fn stop_links(&self) {
        self.core.stop_links();
        if let Some((supervisor, ended)) = self.tasks.take_links() {
            // One that is gone has nothing left to stop.
            let _ = supervisor.cast(LinkOrder::Stop);
            join(vec![ended], KILL_TIMEOUT).await;
        }
        if let Some(links) = &self.links {
            links.endpoint.close().await;
        }
    }
}

/// Waits for the tasks, together; returns those that were not done in time.
async fn join(tasks: Vec<JoinHandle<()>>, timeout: Duration) -> Vec<JoinHandle<()>> {
    let deadline = tokio::time::Instant::now() + timeout;
    let mut late = Vec::new();
    for mut task in tasks {
        // Once the deadline has passed this only looks whether the task is done.
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            late.push(task);
        }
    }
    late
}

crate::error_text::debug_as_text!(StopError);
