//! The end of a node, whatever ends it: a stop, its store, its runtime.

use std::sync::atomic::Ordering;

use everpost_persistence::CommitError;
use tokio::sync::oneshot;

use super::Shard;
use crate::base::caught::caught;
use crate::base::ended::NodeEnded;
use crate::mailbox::query::lose;
use crate::shard::services::GATE;

impl Shard {
    /// From here on nothing is taken in, and no activation takes another message.
    pub(crate) fn stop_intake(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.quarantine.look_again();
        self.dismiss_readers();
    }

    /// From here on no link takes or sends anything.
    pub(crate) fn stop_links(&self) {
        self.links_stopped.send_replace(true);
    }

    /// The store has committed something, or has failed, as its own thread tells. Nobody would see a panic of what that
    /// lets out.
    pub(crate) fn committed(&self) {
        if let Err(panic) = caught(|| self.gate.committed(|effect| self.release(effect))) {
            self.panicked(GATE.name, GATE.means, &panic);
        }
    }

    /// The store has failed: nothing becomes durable any more, so nothing more is tried.
    pub(crate) fn store_failed(&self) {
        if let Some(failure) = self.store.failure() {
            self.end(NodeEnded::Failed(failure.clone()));
            tracing::error!(
                node = %self.name, error = %failure, event = "store failed",
                "the store failed and the node does nothing more; start it again to recover"
            );
        }
    }

    /// The runtime has gone, and every task of the node with it: nobody will handle anything. The store is closed, so
    /// that the node can be started anew.
    pub(crate) fn runtime_gone(&self) {
        self.end(NodeEnded::RuntimeGone);
        // Before the runtime's clock stops, by which somebody may wait for room in the store.
        self.store.refuse();
        drop(self.close_store());
        // It is told by whoever drops a task: another panic would end the process.
        let _ = caught(|| {
            tracing::error!(
                node = %self.name, event = "runtime gone",
                "the tokio runtime of the node has ended and the node does nothing more; start it again, on a runtime \
                 that lives as long as it"
            );
        });
    }

    /// Closes the store, on a thread of its own: it blocks, and goes on whoever waits for it. Closing it again says the
    /// same.
    pub(crate) fn close_store(&self) -> oneshot::Receiver<Result<(), CommitError>> {
        let (tell, closed) = oneshot::channel();
        let store = self.store.clone();
        // Without a thread the store ends with its last handle, as in a crash; that the channel is dropped tells of it.
        let close = move || caught(|| store.close()).unwrap_or(Err(CommitError::Panicked { thread: "closing" }));
        let closing = move || drop(tell.send(close()));
        if let Err(error) = std::thread::Builder::new().name("everpost-closing".to_owned()).spawn(closing) {
            tracing::error!(
                node = %self.name, %error, event = "store not closed",
                "there is no thread to close the store with: the next start recovers it"
            );
        }
        closed
    }

    /// The node does nothing more: whoever waits for something of it is told, and so is whoever comes later. May be
    /// called again; the first reason stays.
    pub(crate) fn end(&self, why: NodeEnded) {
        self.stop_intake();
        self.stop_links();
        self.queries.close();
        // First: from here on nobody is added who would wait, and then everybody who is there is told.
        self.gate.close(why);
        self.directory.for_each(|mailbox| {
            let mut inner = mailbox.lock();
            inner.dismiss_waiters();
            let queries = inner.take_queries();
            drop(inner);
            lose(queries);
        });
        self.activations.close();
        self.dismiss_senders();
        self.cluster.peers().iter().for_each(|peer| peer.dismiss());
    }
}
