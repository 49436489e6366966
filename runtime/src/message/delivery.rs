//! How the messages of an actor type are delivered.

/// When a handler sees a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// After the message is durable. The right choice when handlers call the outside world.
    Committed,
    /// At once. Sound, because the store is a prefix of what happened and nothing leaves the node before its commit:
    /// if a crash takes the message, it takes everything that came of it. Faster, because a message that is enqueued
    /// and handled within one commit is never written. For actors whose handlers do nothing outside their turn; such a
    /// handler calls [`Turn::committed`](crate::Turn::committed) before it does.
    Pipelined,
}

/// What a message that fails does to those behind it in its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// It holds them back until it was handled or given up on, except for those of a higher priority: messages of one
    /// sender to one receiver and of one priority are handled in the order in which they were sent.
    Strict,
    /// They pass it, and it comes back later. For actors whose messages have nothing to do with each other.
    Skip,
}
