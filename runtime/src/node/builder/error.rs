//! Why a node did not start.

use std::collections::BTreeMap;

use everpost_persistence::{AdmissionError, OpenError, ReadError};
use everpost_transport::{BindError, IdentityError};

use crate::base::ended::NodeEnded;
use crate::config::ConfigError;
use crate::message::unhandled::{self, Unhandled};

/// Why a node did not start. Nothing runs, and nothing in the store was lost.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A constant of an actor type cannot work: messages would stand still, or fail for ever.
    #[error("the actor type `{actor_type}` cannot have this `{constant}`: {reason}")]
    Constant {
        /// [`Actor::TYPE`](crate::Actor::TYPE).
        actor_type: &'static str,
        /// The name of the constant.
        constant: &'static str,
        /// What it has to be.
        reason: &'static str,
    },
    /// Two actors have the same type name.
    #[error("two actors of the node have the type `{0}`, so that their addresses cannot be told apart")]
    TwoActors(&'static str),
    /// The names of two actor types have the same number on the wire.
    #[error("the actor types `{0}` and `{1}` have the same number on the wire; rename one of them")]
    SameReceiverType(&'static str, &'static str),
    /// The node's certificate, its key or the authority's certificate is not right.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store holds what does not belong on this node as it is configured. Nothing was changed.
    #[error(
        "the store of node `{node}` holds {records} {what} of actor type `{actor_type}` that belong on node `{owner}` \
         by the present configuration; restore the list of nodes of that type, or move the data"
    )]
    Stranded {
        /// This node.
        node: String,
        /// How many.
        records: usize,
        /// Waiting messages, states, or messages on their way.
        what: &'static str,
        /// Of which type.
        actor_type: String,
        /// Where they belong.
        owner: String,
    },
    /// Messages wait in the store that nothing in this build handles. Nothing was changed.
    #[error(
        "the store of node `{node}` holds messages that nothing in this build handles: {}; nothing was changed: start \
         the build that knows them, or have them moved to the dead letters with `NodeBuilder::quarantine_unhandled`",
        unhandled::name_all(messages)
    )]
    NotHandled {
        /// This node.
        node: String,
        /// How many of each kind.
        messages: BTreeMap<Unhandled, usize>,
    },
    /// There are more messages that nothing handles than there may be dead letters. Nothing was changed.
    #[error(
        "the store of node `{node}` holds {messages} messages that nothing in this build handles, and there is room \
         for {room} more dead letters; nothing was changed: raise `dead_letters_max`, or replay or delete some with \
         the build that knows them"
    )]
    DeadLettersFull {
        /// This node.
        node: String,
        /// How many.
        messages: usize,
        /// For how many there is room.
        room: usize,
    },
    /// The store has no room for moving messages that nothing handles to the dead letters.
    #[error(
        "messages that nothing in this build handles cannot be moved to the dead letters: {0}; those that were not \
         moved are where they were"
    )]
    NoRoom(#[from] AdmissionError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store can be opened, but not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed while the start was being written down.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
    /// The system gave no thread for what the node does by itself.
    #[error(
        "the node got no thread of its own: {0}; nothing runs, and nothing was lost: raise the limit of threads of the \
         process or of the user"
    )]
    NoThread(std::io::Error),
    /// The tokio runtime that was to start the node has no timers, by which handlers are bounded. Nothing runs.
    #[error("the tokio runtime that starts the node has no timers; nothing runs: build it with `enable_all`")]
    NoTimers,
    /// A supervisor could not be started.
    #[error("a supervisor could not be started: {0}")]
    Supervisor(String),
}

crate::base::error_text::debug_as_text!(StartError);
