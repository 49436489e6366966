//! Opening the store of a living node again. What is known of it in memory is dropped where it stands, as when the
//! process dies, and recovered from the store. Handles, groups and the address of the node stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::builder::Opening;
use super::host::Host;
use super::running::Running;
use super::stop::KILL_TIMEOUT;
use super::{Node, StartError};
use crate::base::caught::joined;
use crate::base::ended::NodeEnded;
use crate::base::entered::entered;
use crate::base::inside;
use crate::supervise::group::KeptGroup;

/// Why a node has not opened its store again.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ReopenError {
    /// It was stopped, before or meanwhile. Nothing that was acknowledged is lost.
    #[error("the node was stopped, so that its store is not opened again; start it anew")]
    Stopped,
    /// It was called inside a handler, which it would cut off. Nothing was done.
    #[error("it would cut off the handler that it was called in; nothing was done: call it in a task of its own")]
    InsideTurn,
    /// It was called inside a task of a group, which it would cut off. Nothing was done.
    #[error("it would cut off the task of a group that it was called in; nothing was done: call it in another task")]
    InsideTask,
    /// The store was left, and could not be opened again. Nothing that was acknowledged is lost. Groups have ended.
    #[error(
        "the store was left and could not be opened again ({0}), so that the node does nothing more; nothing that was \
         acknowledged is lost: try again when the trouble is over, or stop the node and start it anew"
    )]
    Open(#[from] StartError),
}

impl Node {
    /// Opens the store again, while the node lives: everything that is known of it in memory is dropped where it
    /// stands, as when the process dies, and recovered from the store. For a store that has failed ([`Node::failed`]),
    /// when its trouble is over: a disk that was full, say. Nothing that was acknowledged is lost.
    ///
    /// Handlers are cut off at their next await, and their messages handled again. Whoever waits for something is told
    /// that the outcome is unknown ([`NodeEnded::Reopened`]), and what is sent meanwhile is refused
    /// ([`Refusal::Reopening`](crate::Refusal::Reopening)). When this has returned, handles go on as before, groups
    /// were started again with what is left of their budgets, and peers find the node at the same address. What the
    /// node counts ([`Node::statistics`]) begins anew. Called while the store is being opened again it is the same
    /// call: it waits for that, and opens nothing if that has.
    ///
    /// Nobody can end what does not come to an await. A handler, an answer or a task of a group that computes or blocks
    /// is waited for, up to five seconds for each of these kinds, and goes on beside what runs then; nothing of what it
    /// does is stored any more. What somebody holds of before (a receipt, a hold) has ended, and keeps the memory of
    /// before until it is dropped. Actors that an ended group has left down handle messages again.
    ///
    /// # Errors
    ///
    /// [`ReopenError`] says whether anything was done.
    ///
    /// # Cancel safety
    ///
    /// It goes on when the future is dropped. [`Node::stop`] cuts it off.
    pub async fn reopen(&self) -> Result<(), ReopenError> {
        if inside::is_in_turn() {
            return Err(ReopenError::InsideTurn);
        }
        if inside::root_of_task().is_some() {
            return Err(ReopenError::InsideTask);
        }
        let (tell, reopened) = oneshot::channel();
        let host = Arc::clone(&self.host);
        let before = host.reopened();
        let reopening = async move { drop(tell.send(host.reopen(before).await)) };
        // There run handlers, whatever calls this.
        let programs_runtime = self.shard().programs_runtime.clone();
        let reopening = programs_runtime.spawn(reopening.in_current_span());
        match reopened.await {
            Ok(reopened) => reopened,
            Err(_) => {
                joined(reopening.await);
                Err(StartError::from(NodeEnded::RuntimeGone).into())
            }
        }
    }
}

impl Host {
    /// Opens the store again, unless it was opened again more than so many times by now.
    async fn reopen(&self, before: u64) -> Result<(), ReopenError> {
        let reopened = self.reopen_once(before).await;
        if self.is_to_stop() {
            // Whoever has told it may not wait any more.
            self.at_rest(|running| drop(running.begin_stop())).await;
        }
        reopened
    }

    async fn reopen_once(&self, before: u64) -> Result<(), ReopenError> {
        let begin = |running: &Running| {
            if self.is_to_stop() || running.tasks.stopping.get().is_some() {
                return Err(ReopenError::Stopped);
            }
            let is_done = self.reopened() > before;
            Ok((!is_done).then(|| (running.clone(), self.begin_reopening())))
        };
        let Some((left, reopening)) = self.at_rest(begin).await? else { return Ok(()) };
        tracing::info!(
            node = %self.name, event = "store left",
            "what is known of it in memory is dropped, and recovered when it is opened again"
        );
        let groups = left.abandon().await;
        drop(left);
        self.forget_links();
        let opening = Opening::Again { address: self.address };
        let running = match self.builder.open(opening, &|| self.is_to_stop()).await {
            Ok(running) => running,
            Err(error) => {
                groups.iter().for_each(|group| group.end_with_node(&NodeEnded::Reopened));
                return Err(if self.is_to_stop() { ReopenError::Stopped } else { error.into() });
            }
        };
        self.replace(running.clone());
        // A group with actors may wait for the trials of suspects, for as long as these take.
        tokio::select! {
            biased;
            () = running.tasks.groups.run_again(&running.shard, &groups) => {}
            () = self.told_to_stop() => {
                let resting = groups.iter().filter(|group| group.is_at_rest());
                resting.for_each(|group| group.end_with_node(&NodeEnded::Stopped));
            }
        }
        reopening.done();
        Ok(())
    }
}

impl Running {
    /// Ends everything where it stands, and leaves the store as a crash would. Returns what is to run again. May be
    /// called again.
    async fn abandon(&self) -> Vec<KeptGroup> {
        let Self { shard, tasks, .. } = self;
        // Before anybody is told: what is not in the store by now never will be. And groups are to hear nothing of the
        // ends that come of it.
        shard.store.refuse();
        let groups = tasks.groups.detach();
        shard.end(NodeEnded::Reopened);
        tasks.groups.kill(KILL_TIMEOUT).await;
        self.end_activations(Duration::ZERO).await;
        entered(shard.own_runtime.handle(), self.stop_links()).await;
        tasks.take_background().iter().for_each(JoinHandle::abort);
        tasks.end_watchdog();
        tasks.stopped.send_replace(true);
        let left = Arc::clone(shard);
        let leaving = tokio::task::spawn_blocking(move || {
            left.marks.leave();
            // First, since a task may wait for the store, and not come to an await.
            left.store.abandon();
            left.own_runtime.end(KILL_TIMEOUT);
        });
        joined(leaving.await);
        groups
    }
}

crate::base::error_text::debug_as_text!(ReopenError);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::supervision::fixture::Idle;

    /// What is left behind would be left a hundred times.
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_left_of_the_shard_before() {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::builder("node", folder.path()).actor(Idle).start().await.unwrap();
        let before = Arc::downgrade(&node.shard());
        let handle = node.actor::<Idle>("one");
        handle.pause("so that there is a mailbox").await.unwrap();
        node.reopen().await.unwrap();
        // The program's runtime drops what ran there when it comes to it.
        let gone = async {
            while before.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("somebody has the shard of before");
        assert!(handle.paused().is_some(), "it is recovered");
        node.stop().await.unwrap();
    }
}
