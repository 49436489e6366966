//! What became of a message.

use bytes::Bytes;

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
