//! Why a message was not accepted.

use std::fmt;
use std::time::Duration;

use everpost_persistence::AdmissionError;

use crate::base::ended::NodeEnded;
use crate::message::MessageId;
use crate::message::ask::AskDifference;

/// Why a message was not accepted. Nothing of it is stored, and it may be sent again.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The actor type is not part of this node, or did not register this message.
    #[error(
        "no actor type `{actor_type}` that handles `{message}` is part of this node; add it to the builder, and the \
         message to its `handlers`"
    )]
    NotHandled {
        /// The actor type of the address.
        actor_type: &'static str,
        /// The name of the message.
        message: &'static str,
    },
    /// The actor type is not part of this node.
    #[error("no actor type `{actor_type}` is part of this node; add it to the builder")]
    NoSuchActor {
        /// The actor type.
        actor_type: &'static str,
    },
    /// A handle was used inside a handler, where it would send again on every retry.
    #[error(
        "a handle was used inside a handler, where it would act again on every retry; use `turn.send` or `turn.ask`"
    )]
    InsideTurn,
    /// As many messages wait for this address as may, here or at the node where it lives. A send waits for room first,
    /// up to the setting `send_timeout`; only [`SendBuilder::try_submit`](crate::SendBuilder::try_submit) does not.
    #[error(
        "as many messages wait in this mailbox as may (`mailbox_messages_max`, `mailbox_bytes_max`); send again when \
         its actor has caught up"
    )]
    MailboxFull,
    /// As many messages wait on this node as may, over all of its mailboxes. A send waits for room first, as for a
    /// mailbox.
    #[error(
        "{messages} messages with {bytes} bytes wait on this node already (`node_messages_max`, `node_bytes_max`); \
         send again when it has caught up"
    )]
    NodeFull {
        /// How many messages wait.
        messages: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// As much is owed to the node where the address lives as may be. A send waits for room first, as for a mailbox.
    #[error(
        "{messages} messages with {bytes} bytes are owed to node `{node}` already (`outbox_messages_max`, \
         `outbox_bytes_max`); send again when it has caught up"
    )]
    OutboxFull {
        /// The node.
        node: String,
        /// How many messages it is owed.
        messages: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The node keeps as many timers as may be set from outside.
    #[error(
        "the node keeps {timers} timers, and sets none from outside above {timers_max} (`timers_max`); cancel some, or \
         raise it"
    )]
    TimersFull {
        /// How many it keeps.
        timers: usize,
        /// The setting `timers_max`.
        timers_max: usize,
    },
    /// A timer cannot have such a name.
    #[error(
        "a timer has a name of 1 to {} bytes without control characters; this one has {bytes} bytes",
        crate::TIMER_NAME_BYTES_MAX
    )]
    TimerName {
        /// Its length.
        bytes: usize,
    },
    /// A volatile message was dropped, because there is no link to the node where the address lives, or it is too slow.
    #[error("there is no link to node `{node}` that could take it now; it was dropped, as a volatile message may be")]
    NoLink {
        /// The node.
        node: String,
    },
    /// An ask ran out of time while it waited for room.
    #[error("there was no room for the message before the ask timed out; ask again")]
    NoRoomInTime,
    /// The message is larger than the node takes: than the setting `message_bytes_max`, or, where that is left at its
    /// default, than what the store takes
    /// ([`NodeConfig::message_bytes_limit`](crate::NodeConfig::message_bytes_limit)).
    #[error(
        "the message has {bytes} bytes, more than the {bytes_max} that this node takes (`message_bytes_max`, and half \
         of what one submission to the store may have)"
    )]
    MessageTooLarge {
        /// Its size with headers.
        bytes: usize,
        /// What the node takes.
        bytes_max: usize,
    },
    /// The message is larger than the node takes where its actor lives, by what that said when it was last linked to.
    #[error(
        "the message has {bytes} bytes, more than the {bytes_max} that node `{node}` takes; raise `message_bytes_max` \
         there, and what its store takes"
    )]
    TooLargeForNode {
        /// The node.
        node: String,
        /// The size of the message with headers.
        bytes: usize,
        /// What that node takes.
        bytes_max: usize,
    },
    /// The address is longer than [`ADDRESS_BYTES_MAX`](crate::ADDRESS_BYTES_MAX).
    #[error("the address has {bytes} bytes, more than the {} that are allowed", crate::ADDRESS_BYTES_MAX)]
    AddressTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Another message was handled under the same idempotency key. Found out before the send is accepted where the
    /// other message was handled, and its node can be asked; otherwise, and for a
    /// [`try_submit`](crate::SendBuilder::try_submit) to another node, this one becomes a dead letter, and whoever
    /// waits for it is told.
    #[error("another message was sent under this idempotency key before; send it under a key of its own")]
    KeyReused,
    /// As many idempotency keys are kept as may be, and this one is new. A key that is known, or under which a message
    /// waits, is never refused.
    #[error(
        "as many idempotency keys are kept as may be (`idempotency_keys_max`); send again when older ones have expired \
         (`idempotency_retention`)"
    )]
    TooManyKeys,
    /// The message could not be encoded.
    #[error("the message cannot be encoded: {0}")]
    Encode(postcard::Error),
    /// The store does not take it: no room, or it has failed or closed.
    #[error(transparent)]
    Store(#[from] AdmissionError),
    /// The node is stopping, or has stopped.
    #[error("the node was stopped, or is being stopped, and takes nothing in; send again when it is back")]
    Stopping,
    /// The tokio runtime that the node was started on has ended, and all of its tasks with it.
    #[error(
        "the tokio runtime that the node was started on has ended, so that the node takes nothing in; start it again, \
         on a runtime that lives as long as it"
    )]
    RuntimeGone,
    /// A task of the node has panicked; [`Node::failed`](crate::Node::failed) says which.
    #[error("a task of the node has panicked, so that the node takes nothing in; start it again")]
    Panicked,
    /// The node opens its store again ([`Node::reopen`](crate::Node::reopen)).
    #[error("the node opens its store again and takes nothing in until that is done; try again then")]
    Reopening,
}

/// A send that did not end well.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError<M> {
    /// The message was not accepted and is handed back.
    #[error("not accepted: {reason}")]
    NotAccepted {
        /// The message.
        message: M,
        /// Why.
        #[source]
        reason: Refusal,
    },
    /// The message was submitted, and the node ended before it said that it is durable: it may be there or not. After
    /// a restart of the node it is either handled, once, or never was.
    #[error(
        "the node ended while message {id} was being written, so that it is unknown whether it was accepted: {source}"
    )]
    OutcomeUnknown {
        /// The identity of the message.
        id: MessageId,
        /// Why the node ended.
        source: NodeEnded,
    },
}

impl<M> SendError<M> {
    /// The message, if it is certain that it was not accepted.
    pub fn into_message(self) -> Option<M> {
        match self {
            Self::NotAccepted { message, .. } => Some(message),
            Self::OutcomeUnknown { .. } => None,
        }
    }

    pub(crate) fn not_accepted(message: M, reason: Refusal) -> Self {
        Self::NotAccepted { message, reason }
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand, since messages need not have it.
        crate::base::error_text::write_error(f, self)
    }
}

/// An ask that did not end with a reply.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The message was not accepted.
    #[error("not accepted: {0}")]
    NotAccepted(#[from] Refusal),
    /// No reply came in time. The message is accepted and will be handled; only the reply is not waited for any more.
    #[error("no reply within {0:?}; the message is accepted, and will be handled all the same")]
    Timeout(Duration),
    /// The message was given up on and is a dead letter now.
    #[error("the message was given up on and is a dead letter now: {0}")]
    GivenUp(String),
    /// The node where the actor lives does not take a message as large as this one. It is accepted and kept, and is
    /// handled when that node takes it; what follows it on its way waits too.
    #[error("the message is accepted and kept, but cannot be delivered now: {0}")]
    Undeliverable(String),
    /// Another message was sent under the same idempotency key. This one had no effect; it was not accepted, or is a
    /// dead letter.
    #[error("another message was sent under this idempotency key before; this one had no effect")]
    KeyReused,
    /// The message expired before its turn came, and was dropped: it was not handled, and never will be.
    #[error("the message expired before its turn came and was dropped; it had no effect")]
    Expired,
    /// The message was handled, but its reply was lost with the link or a restart of the node that made it; or it was
    /// given up on, and its dead letter is gone.
    #[error(
        "the reply is lost: the message was handled, and its reply went with the link or the node that made it, or it \
         was given up on and its dead letter is gone"
    )]
    ReplyLost,
    /// Waiting would never end: the actor that is asked waits, directly or not, for the one that asks.
    #[error("asking {to} would wait for ever, since it waits for the actor that asks")]
    WouldDeadlock {
        /// The address that was asked.
        to: String,
    },
    /// An earlier attempt of this turn asked something else at this place, which may have had its effect. Nothing was
    /// asked now, and the turn fails, whatever its handler makes of this: see [`Turn::ask`](crate::Turn::ask).
    #[error("{0}; nothing was asked, and this turn cannot commit: let the handler ask the same on every attempt")]
    Differs(Box<AskDifference>),
    /// The reply does not have the type that the message names.
    #[error("the reply cannot be read: {0}; was it stored by another build?")]
    Reply(postcard::Error),
    /// The store failed or the node stopped before a reply came: whether the message was handled is unknown.
    #[error("the node stopped before a reply came, so that it is unknown whether the message was handled")]
    Stopped,
}

/// A query that was not answered. Queries leave no trace.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query was not taken in.
    #[error("not accepted: {0}")]
    NotAccepted(#[from] Refusal),
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer does not have the type that the query names.
    #[error("the answer cannot be read: {0}; do both nodes run the same build?")]
    Answer(postcard::Error),
    /// It cannot be answered, and this is why: answering it or encoding the answer panicked or failed, or the actor is
    /// paused because the process died of its state. Nothing was counted against the actor, which goes on.
    #[error(
        "the query cannot be answered: {0}; nothing has changed, and asking again is of no use before that is mended"
    )]
    Failed(String),
    /// The activation that had it failed, its node stopped, or the link to it broke.
    #[error("the query was lost with the activation that had it, or with the link to it; ask again")]
    Lost,
}

crate::base::error_text::debug_as_text!(Refusal, AskError, QueryError);
