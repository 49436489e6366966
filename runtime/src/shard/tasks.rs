//! The tasks of a node that run by themselves. Nobody would see a panic of one, and whoever waits for what it does
//! would wait for ever: so there is one way to begin them, and one that panics ends the node, with its name and what
//! the panic said. What it has left half done is put right by the next start, as after a crash.
//!
//! What runs for as long as the node does is a service (`service.rs`), which may be started anew. So is what has a
//! supervisor (activations, links, the tasks of groups), and code of the user's is caught where it runs.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle};

use crate::base::caught::{caught, caught_async};
use crate::base::ended::NodeEnded;
use crate::shard::Shard;
use crate::shard::service::ENDED;

/// What the panic of a task means that was to do one thing.
const UNFINISHED: &str = "what it had begun is finished by nobody";

impl Shard {
    /// Begins a task on the node's own runtime; `name` is for the log. A panic ends the node.
    pub(crate) fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.begin_with((), name, task)
    }

    /// The same; `kept` is dropped when the task has ended, and after its panic was seen.
    pub(crate) fn begin_with<T: Send + 'static>(
        self: &Arc<Self>,
        kept: impl Send + 'static,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let shard = Arc::clone(self);
        self.own_runtime.handle().spawn(async move {
            let _kept = kept;
            shard.watched(name, UNFINISHED, task).await
        })
    }

    /// The same on the program's runtime: for what is to end with that, since it comes of the end of a task there,
    /// which may be that of the runtime itself.
    pub(crate) fn begin_beside_handlers<T: Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let shard = Arc::clone(self);
        self.programs_runtime.spawn(async move { shard.watched(name, UNFINISHED, task).await })
    }

    /// Runs a part of the node; a panic ends the node, and goes on. `means` is as in
    /// [`Service`](super::service::Service).
    pub(crate) async fn watched<T>(&self, name: &str, means: &str, part: impl Future<Output = T>) -> T {
        match caught_async(self.polled(name, part)).await {
            Ok(output) => output,
            Err(panic) => {
                self.panicked(name, means, &panic);
                resume_unwind(Box::new(panic))
            }
        }
    }

    /// Watches a supervisor on one of the two runtimes, which ends by itself when the node stops and never before. The
    /// task ends with it.
    pub(crate) fn watch_supervisor(
        self: &Arc<Self>,
        name: String,
        means: &'static str,
        is_on_own_runtime: bool,
        ended: JoinHandle<()>,
    ) -> JoinHandle<()> {
        let shard = Arc::clone(self);
        self.begin("the watch of a supervisor", async move {
            let ended = match ended.await {
                Err(error) => error.to_string(),
                Ok(()) => ENDED.to_owned(),
            };
            // With the program's runtime it ends too, of which the node is told.
            let is_at_fault = !shard.is_stopping() && (is_on_own_runtime || shard.handlers_go_on().await);
            if is_at_fault {
                shard.panicked(&name, means, &ended);
            }
        })
    }

    /// Runs code of the user's in a task of its own on the program's runtime, with the stack that such a task has.
    /// Whoever asks for it sees its panic.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        code: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.programs_runtime.spawn(code).await
    }

    /// Waits until the program's runtime has polled a task once more, which it does not while handlers keep its
    /// threads. No when it has gone.
    pub(crate) async fn handlers_go_on(&self) -> bool {
        self.detached(async {}).await.is_ok()
    }

    /// A part of the node has panicked: nobody does what it did, so the node does nothing more.
    pub(crate) fn panicked(&self, task: &str, means: &str, panic: &str) {
        let [of, what, said] = [task, means, panic].map(str::to_owned);
        // Memory may differ from the store from here on, so nothing of it is to be stored.
        self.store.refuse();
        self.end(NodeEnded::Panicked { task: of, means: what, panic: said });
        // It may be the log that panics.
        let _ = caught(|| {
            tracing::error!(
                node = %self.name, task, panic, means, event = "task panicked",
                "a task of the node has panicked and the node does nothing more; start it again to recover, and report \
                 this"
            );
        });
    }

    /// Says of a part of the node that it runs on, before each poll.
    pub(super) async fn polled<T>(&self, name: &str, part: impl Future<Output = T>) -> T {
        let mut part = pin!(part);
        let poll = poll_fn(|context| {
            self.runs_on(name);
            part.as_mut().poll(context)
        });
        poll.await
    }

    /// Says that a part of the node runs on.
    pub(crate) fn runs_on(&self, task: &str) {
        tracing::trace!(node = %self.name, task, event = "task polled", "it runs on");
    }
}
