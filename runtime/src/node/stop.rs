//! Stopping is a protocol: take nothing in, finish the turns that run, commit, close. There is one stop of a node: a
//! task of its own, which the first call sets off and every call waits for.

use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::CommitError;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::running::{Running, Tasks};
use super::{Node, clocks};
use crate::base::clock::Deadline;
use crate::base::ended::NodeEnded;
use crate::base::entered::entered;
use crate::base::inside;
use crate::link::LinkOrder;
use crate::mailbox::actor_type::Supervises;

/// How long an activation that was told to end at its next await may take to get there.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of the stop; none until it has ended.
pub(super) type Stopping = watch::Receiver<Option<Result<(), StopError>>>;

/// A stop that was not clean. Nothing that was acknowledged is lost; the next start replays what was not finished.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The store failed before or during the stop.
    #[error("the store failed before everything was written: {0}")]
    Store(#[from] CommitError),
    /// Handlers were still running when the time was up. They were cut off at their next await, and their messages will
    /// be handled again.
    #[error("{0} supervisors were still waiting for handlers at the deadline; their messages will be handled again")]
    CutOff(usize),
    /// Groups had not stopped at the deadline. Their tasks were killed, and dropped at their next await.
    #[error("the groups {} had not stopped at the deadline; their tasks were killed", .0.join(", "))]
    GroupsKilled(Vec<String>),
    /// The tokio runtime that the node was started on has ended before, and cut off its handlers and groups. The store
    /// is closed.
    #[error(
        "the tokio runtime that the node was started on has ended before; its handlers were cut off, and their \
         messages will be handled again"
    )]
    RuntimeGone,
    /// A task of the node has panicked before or during the stop.
    #[error(
        "the task `{task}` of the node has panicked ({panic}); messages that were not finished will be handled again"
    )]
    Panicked {
        /// Which one.
        task: String,
        /// What the panic said.
        panic: String,
    },
    /// It was called inside a handler, which the stop would wait for. Nothing was done.
    #[error(
        "a stop inside a handler would wait for that handler; nothing was done: stop the node in a task of its own"
    )]
    InsideTurn,
    /// It was called inside a task of a group, which the stop would wait for. Nothing was done.
    #[error(
        "a stop inside a task of a group would wait for that task; nothing was done: stop the node in a task of its own"
    )]
    InsideTask,
}

impl Node {
    /// Stops the node: stops its groups, the last one first, while their tasks can still send (up to the setting
    /// `stop_timeout`, then kills them), takes in nothing more, lets the turns that run finish (up to `stop_timeout`
    /// again, then cuts them off, which is no failure of their messages), tells the other nodes, commits, takes a last
    /// checkpoint and closes the store. What waits stays in the store.
    ///
    /// There is one stop, however often this is called, also at the same time and afterwards: each call waits for its
    /// end and returns the same.
    ///
    /// # Errors
    ///
    /// [`StopError`] says what was not clean. Inside a handler or a task of a group it is refused, since it would wait
    /// for itself.
    ///
    /// # Cancel safety
    ///
    /// The stop goes on when the future is dropped; call it again to wait for its end.
    pub async fn stop(&self) -> Result<(), StopError> {
        if inside::is_in_turn() {
            return Err(StopError::InsideTurn);
        }
        if inside::root_of_task().is_some() {
            return Err(StopError::InsideTask);
        }
        self.host.tell_to_stop();
        // In one step: what opens the store again comes before the stop as a whole, or not at all. It begins the stop
        // itself where nobody waits here for it any more.
        let running = self.host.at_rest(|running| {
            drop(running.begin_stop());
            running.clone()
        });
        running.await.stopped().await
    }
}

impl Running {
    /// As [`Node::stop`], from within the node.
    pub(super) async fn stopped(&self) -> Result<(), StopError> {
        let mut stopping = self.begin_stop();
        let told = stopping.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        match told {
            Some(outcome) => outcome,
            // The task has gone with its runtime, could not start on it, or has panicked.
            None => self.cut_off().await,
        }
    }

    /// Sets off the one stop, if that has not happened yet.
    pub(super) fn begin_stop(&self) -> Stopping {
        let begin = || {
            let (tell, stopping) = watch::channel(None);
            let (running, tell) = (self.clone(), Arc::new(tell));
            // Whoever waits sees that nobody will tell when a panic is known to be the end of the node, and not before.
            let kept = (Arc::clone(&tell), Over(Arc::clone(&self.tasks)));
            self.shard.begin_with(kept, "stop", async move {
                let outcome = running.run_stop().await;
                tell.send_replace(Some(outcome));
            });
            stopping
        };
        self.tasks.stopping.get_or_init(begin).clone()
    }

    async fn run_stop(&self) -> Result<(), StopError> {
        let shard = &self.shard;
        let killed = self.tasks.groups.stop(shard.config.stop_timeout, KILL_TIMEOUT).await;
        shard.stop_intake();
        shard.queries.close();
        shard.dismiss_senders();
        let cut_off = self.end_activations(shard.config.stop_timeout).await;
        self.stop_links().await;
        for task in self.tasks.take_background() {
            task.abort();
        }
        clocks::note(shard);
        // Without a thread to close it the store ends with its last handle; nothing that was acknowledged is lost.
        let closed = shard.close_store().await.unwrap_or(Ok(()));
        // Receipts and replies of the last commits leave now; whoever waits for more will not get it here.
        shard.gate.open(|effect| shard.release(effect));
        if closed.is_ok() && !shard.gate.is_over() {
            // Before that is said to anybody: a log that panics is the end of the node then.
            tracing::info!(
                node = %shard.name, waiting = shard.waiting(), event = "stopped",
                "what waits is handled after the next start"
            );
        }
        shard.end(NodeEnded::Stopped);
        // Handlers that do not come to an await may go on, when the store is another run's already.
        shard.marks.leave();
        self.tasks.end_watchdog();
        closed?;
        match shard.gate.ended() {
            NodeEnded::Panicked { task, panic, .. } => return Err(StopError::Panicked { task, panic }),
            NodeEnded::RuntimeGone => return Err(StopError::RuntimeGone),
            _ => {}
        }
        match killed.is_empty() {
            true if cut_off == 0 => Ok(()),
            true => Err(StopError::CutOff(cut_off)),
            false => Err(StopError::GroupsKilled(killed)),
        }
    }

    /// Lets the turns that run finish within this time, and then cuts them off. Nothing starts any more, since the
    /// shard takes nothing in. Returns how many supervisors were still waiting for handlers.
    pub(super) async fn end_activations(&self, within: Duration) -> usize {
        let supervisors = || self.shard.actor_types.values().filter_map(|actor_type| actor_type.supervisor());
        supervisors().for_each(Supervises::stop);
        let late = join(self.tasks.take_supervisors(), within).await;
        let cut_off = late.len();
        if cut_off > 0 {
            supervisors().for_each(Supervises::kill_all);
            join(late, KILL_TIMEOUT).await;
        }
        cut_off
    }

    /// There is no task that stops it: what is left is to see the store closed.
    async fn cut_off(&self) -> Result<(), StopError> {
        self.shard.end(NodeEnded::RuntimeGone);
        self.tasks.groups.gone(&self.shard.gate.ended());
        // Whoever waits may do so on a thread without a runtime.
        entered(self.shard.own_runtime.handle(), self.stop_links()).await;
        self.tasks.take_background().iter().for_each(JoinHandle::abort);
        if let Ok(closed) = self.shard.close_store().await {
            closed?;
        }
        Err(match self.shard.gate.ended() {
            NodeEnded::Panicked { task, panic, .. } => StopError::Panicked { task, panic },
            // Nothing of it was left when its store could not be opened again.
            NodeEnded::Reopened => return Ok(()),
            _ => StopError::RuntimeGone,
        })
    }

    /// Tells the peers, and ends the links. What they have not acknowledged stays in the store.
    pub(super) async fn stop_links(&self) {
        self.shard.stop_links();
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

/// Tells that the stop is over when it is dropped.
struct Over(Arc<Tasks>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.stopped.send_replace(true);
    }
}

/// Tells the node when the program's runtime goes: it lives in a task there that otherwise ends only after the node was
/// stopped.
pub(super) struct Lifeline(Running);

impl Lifeline {
    pub(super) fn tie(running: &Running) {
        let lifeline = Self(running.clone());
        running.shard.programs_runtime.spawn(async move {
            // The sender is in what runs, which it keeps.
            let _ = lifeline.0.tasks.stopped.subscribe().wait_for(|stopped| *stopped).await;
        });
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        let Running { shard, tasks, .. } = &self.0;
        if *tasks.stopped.borrow() {
            return;
        }
        if !shard.gate.is_over() {
            shard.runtime_gone();
        }
        tasks.groups.gone(&NodeEnded::RuntimeGone);
        // What the node does by itself ends too, also where it has failed before and nobody has stopped it. It goes on
        // by itself.
        drop(self.0.begin_stop());
    }
}

/// Waits for the tasks, together; returns those that were not done in time.
pub(super) async fn join(tasks: Vec<JoinHandle<()>>, timeout: Duration) -> Vec<JoinHandle<()>> {
    let (deadline, runtime) = (Deadline::after(timeout), Handle::current());
    let mut late = Vec::new();
    for mut task in tasks {
        if deadline.wait_for(&runtime, &mut task).await.is_err() {
            late.push(task);
        }
    }
    late
}

crate::base::error_text::debug_as_text!(StopError);
