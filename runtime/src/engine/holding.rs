//! Messages that are held: which delivery a hold stands for, and what becomes of one that decides nothing.

use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::Position;

use crate::base::ended::NodeEnded;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::failure::Failure;
use crate::message::refusal::Refusal;
use crate::shard::Shard;

/// What identifies one delivery.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) shard: Arc<Shard>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    pub(crate) id: MessageId,
    pub(crate) trace: MessageId,
    /// What keys for the outside derive from.
    pub(crate) root: MessageId,
    /// For how long it may be held without progress.
    pub(crate) limit: Duration,
}

/// Why a hold decides nothing.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The message was taken back, because the hold was kept for too long; it is delivered again, or was given up on.
    #[error("the message was taken back, because it was held for too long; it is delivered again, or is a dead letter")]
    TakenBack,
    /// The message that was to be sent with the acknowledgement cannot be. Nothing was acknowledged, and the message
    /// comes back.
    #[error("nothing was acknowledged, because the message that was to be sent with it cannot be: {0}")]
    NotSent(Refusal),
    /// The node ended before it said that the decision is durable: it is, or the message is delivered again after the
    /// next start.
    #[error("the node ended while the decision was being written, so that it is unknown whether it counts: {0}")]
    OutcomeUnknown(#[from] NodeEnded),
}

/// What becomes of a message whose hold was dropped.
pub(crate) fn dropped() -> Failure {
    Failure::retry("its hold was dropped without a decision")
}

crate::base::error_text::debug_as_text!(HoldError);
