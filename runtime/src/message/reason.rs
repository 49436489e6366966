//! Why messages are given up on.

use serde::{Deserialize, Serialize};

/// Why a message was given up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// Its handler said that trying again is of no use, or nobody could read it.
    Rejected,
    /// It failed as often as it may.
    AttemptsSpent,
    /// The process died of it as often as it may.
    KilledTheProcess,
    /// Its time was over before its turn came, and it was to be kept then
    /// ([`Expiry::DeadLetter`](crate::Expiry::DeadLetter)).
    Expired,
    /// Another message was sent under its idempotency key.
    KeyReused,
    /// Nothing in the build that started handles it; see
    /// [`NodeBuilder::quarantine_unhandled`](crate::NodeBuilder::quarantine_unhandled).
    NotHandled,
}

impl Reason {
    /// Whether it tells of something that went wrong, and counts against the restart budget of the actor.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::AttemptsSpent | Self::KilledTheProcess)
    }
}
