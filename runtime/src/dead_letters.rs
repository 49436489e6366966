//! Dead letters: messages that were given up on, with the reason, kept until someone decides.

mod decide;
mod index;
mod record;
mod shelf;
mod whereabouts;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::decide::{DeadLetterError, DeadLetters};
pub(crate) use self::record::{DeadLetterRecord, envelope_of, known_of, outcome_of};
pub use self::shelf::WhenFull;
pub(crate) use self::shelf::{LettersInStep, Shelf, Slot};
pub(crate) use self::whereabouts::Whereabouts;
use crate::base::clock::Micros;
use crate::message::address::Address;
use crate::message::priority::Priority;
use crate::message::{Message, MessageId};

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
    /// Its time was over before its turn came, and it was to be kept then ([`Expiry::Bury`](crate::Expiry::Bury)).
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

/// A message that was given up on.
///
/// An actor type that registers it as a message (`handlers.on::<DeadLetter>()`) is sent each dead letter of its own addresses,
/// to the actor whose message it was, in the commit that buries it. One that dies in that handler is not told again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where it was sent.
    pub address: Address,
    /// The actor that sent it; absent when it came from outside.
    pub sender: Option<Address>,
    /// Its identity.
    pub id: MessageId,
    /// The first message of the chain of causes that led to it.
    pub trace: MessageId,
    /// The dead letter that it was made of by an edit.
    pub replaces: Option<MessageId>,
    /// The name of its type.
    pub message: String,
    /// The version of its type.
    pub version: u16,
    /// How urgent it was.
    pub priority: Priority,
    /// Its number in the store's order, which names it among the dead letters of the node that gave up on it: that of its actor, or
    /// that of its sender for one that expired before it was sent there.
    pub sequence: u64,
    /// Why it was given up on.
    pub reason: Reason,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong, each with its causes, oldest first; the newest eight.
    pub errors: Vec<String>,
    /// When it was sent.
    pub sent_at: Micros,
    /// When it was given up on.
    pub died_at: Micros,
    /// The message itself, as its sender encoded it.
    pub payload: Bytes,
}

impl Message for DeadLetter {
    const NAME: &'static str = "everpost.dead_letter";
    const VERSION: u16 = 1;
    type Reply = ();
}
