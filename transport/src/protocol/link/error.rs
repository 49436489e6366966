//! How two stores can fail to fit together.

use super::message::{Ack, Lane, Sequence};

/// A message does not follow what was received. Something is lost, or one of the stores is not what it was; nothing was
/// taken, and nothing may be skipped.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "message {} of lane {lane} follows {}, but the last one received is {}: one of the two stores is an old copy, or \
     messages are missing; nothing was taken",
    sequence.0,
    previous.0,
    received.0
)]
pub struct Break {
    /// The lane.
    pub lane: Lane,
    /// The last message received.
    pub received: Sequence,
    /// The one that the message names as the one before it.
    pub previous: Sequence,
    /// The message.
    pub sequence: Sequence,
}

/// The two stores do not fit together: one is an old copy. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The peer has less than it acknowledged.
    #[error(
        "the peer has lane {lane} up to {} only, although it acknowledged {}: its store is an old copy; nothing is \
         sent to it",
        cursor.0,
        acknowledged.0
    )]
    Rewound {
        /// The lane.
        lane: Lane,
        /// What it acknowledged.
        acknowledged: Sequence,
        /// What it has.
        cursor: Sequence,
    },
    /// The peer has what was never sent.
    #[error(
        "the peer has message {} of lane {lane}, which this store never sent: this store is an old copy; nothing is \
         sent from it",
        cursor.0
    )]
    Unknown {
        /// The lane.
        lane: Lane,
        /// What it has.
        cursor: Sequence,
    },
}

/// An acknowledgement of what was not sent.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message {} of lane {} was acknowledged but not sent", .0.through.0, .0.lane)]
pub struct AckError(pub Ack);

crate::text::debug_as_text!(Break, ResumeError, AckError);
