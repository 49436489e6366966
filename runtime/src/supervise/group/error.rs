//! Why a group was not started, and why one has ended.

use everpost_persistence::ReadError;

use super::GROUP_RESTARTS_MAX;
use crate::base::ended::NodeEnded;
use crate::record::budget::Budget;

/// Why a group was not started. Nothing of it runs.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// The name of a group or of a child is not allowed.
    #[error("`{0}` cannot be the name of a group or of its child: it has 1 to 64 characters of a-z, 0-9, `_` and `-`")]
    Name(String),
    /// Two children of a group have the same name.
    #[error("two children of the group `{group}` have the name `{child}`, so that they cannot be told apart")]
    TwoChildren {
        /// The path of the group, `ingest/inner`.
        group: String,
        /// Their name.
        child: String,
    },
    /// A budget is larger than it may be.
    #[error("the budget of the group `{group}` is {restarts} restarts; at most {GROUP_RESTARTS_MAX} can be stored")]
    Budget {
        /// The path of the group, `ingest/inner`.
        group: String,
        /// Its restarts.
        restarts: u32,
    },
    /// A group of this name runs on the node.
    #[error("a group with the name `{0}` is running; it must have ended before another can be started")]
    NameInUse(String),
    /// A keyed actor is the child of a group that has not ended, or two children are the same actor.
    #[error("{actor} is a child of the group `{group}`; it can be the child of one group at a time")]
    ActorInUse {
        /// The actor.
        actor: String,
        /// The path of the group, `ingest/inner`.
        group: String,
    },
    /// A keyed actor lives on another node: supervise it there.
    #[error("{actor} lives on node `{node}`; only a group of that node can have it as a child")]
    ActorElsewhere {
        /// The actor.
        actor: String,
        /// Where it lives.
        node: String,
    },
    /// The node has no actors of this type.
    #[error("{0} cannot be the child of a group: the node has no actors of this type")]
    NoSuchActor(String),
    /// The restarts of an earlier process cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The restarts of an earlier process were stored by a build that this one does not understand.
    #[error("the stored restarts of the group `{0}` cannot be read by this build")]
    Record(String),
    /// It was called inside a handler, where it would start a group again on every retry, and might wait for the
    /// handler.
    #[error("a group was supervised inside a handler, which it might wait for; do that in a task of its own")]
    InsideTurn,
    /// The node is stopping, or has ended.
    #[error("the node is stopping, and starts no groups any more")]
    Stopping,
    /// A supervisor could not be started.
    #[error("a supervisor could not be started: {0}")]
    Supervisor(String),
}

/// Why a group has ended although it was not told to. Everything of it is stopped, and nothing starts it again.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GroupEnded {
    /// It needed more restarts than its budget allows.
    #[error(
        "the group `{group}` gave up, more than {} restarts within {:?}: the last to fail was `{child}`: {cause}",
        budget.restarts,
        budget.within
    )]
    Spent {
        /// The path of the group, `ingest/inner`.
        group: String,
        /// Its budget.
        budget: Budget,
        /// The child whose failure was one too many.
        child: String,
        /// Why it failed.
        cause: String,
    },
    /// A restart could not be stored, so it was not made.
    #[error("the group `{group}` could not store a restart, and has stopped: {source}")]
    NotStored {
        /// The path of the group, `ingest/inner`.
        group: String,
        /// Why.
        source: NodeEnded,
    },
    /// The node has ended before the group did, and all of its tasks with the runtime.
    #[error("the group `{group}` has ended with its node: {source}")]
    Node {
        /// The name of the group.
        group: String,
        /// Why the node has ended.
        source: NodeEnded,
    },
    /// Nothing has ended: it was awaited inside a handler, or inside a task of the same group, which it would have
    /// waited for.
    #[error(
        "the end of the group `{0}` was awaited inside a handler, or inside a task of that group: it would wait for \
         itself; do that in a task of its own"
    )]
    WaitsForItself(String),
    /// A defect: its supervisor has failed.
    #[error("the supervisor of the group `{group}` failed: {cause}")]
    Supervisor {
        /// The path of the group.
        group: String,
        /// Why.
        cause: String,
    },
}

crate::base::error_text::debug_as_text!(SuperviseError, GroupEnded);
