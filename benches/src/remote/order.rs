//! What the measuring process has its two nodes do, and what they answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Waits for the link to the other node. Answered with nothing.
    Link,
    /// Asks the actors at the other node how much they have got. Answered with nothing.
    Prepare,
    /// Sends messages, `window` of them on their way to the disk of the other node at most. Answered with nothing, when
    /// all are there.
    Flood { kind: Kind, messages: u64, window: usize },
    /// Does something 1,000 times a second. Answered with [`Taken`], when all is done.
    Pace { level: Level, length: Duration },
    /// Sends 1,000 messages a second to fresh actors from now on. Answered with nothing, at once.
    BeginFlow { name: String },
    /// From now on, only messages that are sent from now on count as new. Answered with nothing.
    MarkFlow,
    /// Answered with the time of the machine at which the first new message was delivered.
    FirstOfFlow,
    /// Sends no more. Answered with nothing, when all are delivered.
    EndFlow,
    /// Waits until everything is handled and durable. Answered with nothing.
    Drain,
    /// Waits until the tables of the store have everything. Answered with nothing.
    Settle,
    /// Asks the actors whether they have exactly what was sent to them. Answered with nothing; otherwise the node
    /// fails.
    Check,
    /// Answered with [`Usage`].
    Usage,
}

/// Which actors are sent to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    Committed,
    Pipelined,
}

/// What is waited for at a given rate.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Level {
    /// The message is durable at the sender.
    Accepted,
    /// It is durable at the receiver.
    Delivered,
    /// Its turn has committed.
    Processed,
    /// The reply of its handler, whose turn has committed.
    Ask,
    /// The answer to a volatile query.
    Query,
}

/// That a node runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Started {
    /// The time of the machine at which its start had returned.
    pub(super) at: Duration,
}

/// How long something took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

/// What a node has used since it was started.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) processor: Duration,
    pub(super) journal_bytes: u64,
    pub(super) groups: u64,
}
