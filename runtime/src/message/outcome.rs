//! What became of a message.

use bytes::Bytes;

use crate::message::Message;
use crate::message::decode::decode_reply;
use crate::message::refusal::AskError;

/// What became of a message, for whoever waits.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its turn has committed, with this reply.
    Replied(Bytes),
    /// Its turn has committed; its reply was not wanted, or is gone.
    Handled,
    /// It was given up on.
    GivenUp(String),
    /// It was given up on, because another message was sent under its idempotency key.
    KeyReused,
    /// It lies in the outbox of this node, and its receiver does not take it now.
    Undeliverable(String),
    /// It has expired, and was dropped.
    Expired,
}

/// The outcome of an ask: the reply, or why there is none.
pub(crate) fn reply_of<M: Message>(outcome: Option<Outcome>) -> Result<M::Reply, AskError> {
    match outcome {
        Some(Outcome::Replied(reply)) => decode_reply(&reply).map_err(AskError::Reply),
        Some(Outcome::Handled) => Err(AskError::ReplyLost),
        Some(Outcome::GivenUp(reason)) => Err(AskError::GivenUp(reason)),
        Some(Outcome::KeyReused) => Err(AskError::KeyReused),
        Some(Outcome::Undeliverable(reason)) => Err(AskError::Undeliverable(reason)),
        Some(Outcome::Expired) => Err(AskError::Expired),
        None => Err(AskError::Stopped),
    }
}
