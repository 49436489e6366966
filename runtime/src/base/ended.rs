//! The end of a node, as those learn of it who wait.

use everpost_persistence::CommitError;

/// Why a wait has ended without what it waited for: the node does nothing any more, or it would have waited for itself.
/// Nothing that was acknowledged is lost.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NodeEnded {
    /// It was stopped.
    #[error("the node was stopped; what waits is handled when it is started again")]
    Stopped,
    /// Its store failed.
    #[error(transparent)]
    Failed(#[from] CommitError),
    /// The tokio runtime that it was started on has ended, and all of its tasks with it.
    #[error(
        "the tokio runtime that the node was started on has ended, so that the node does nothing more; what waits is \
         handled when it is started again, on a runtime that lives as long as it"
    )]
    RuntimeGone,
    /// A task of the node has panicked: a defect of Everpost, or of what it calls, the subscriber of the program's logs
    /// say. Those that can be started anew without harm were, several times.
    #[error(
        "the task `{task}` of the node has panicked ({panic}): {means}, so that the node does nothing more; what waits \
         is handled when it is started again"
    )]
    Panicked {
        /// Which one.
        task: String,
        /// What it means that nobody does what it did.
        means: String,
        /// What the panic said.
        panic: String,
    },
    /// The node opens its store again, or has done so since ([`Node::reopen`](crate::Node::reopen)): what it had begun
    /// is unknown, as after a crash.
    #[error(
        "the node has left its store to open it again; what was acknowledged is kept and handled, and of the rest it \
         is unknown: look, or say it again"
    )]
    Reopened,
    /// Nothing has ended: it was awaited inside a handler or an answer, which it would have waited for.
    #[error("it was awaited inside a handler, which it would wait for itself; await it in a task of its own")]
    InsideTurn,
}

crate::base::error_text::debug_as_text!(NodeEnded);
