//! Where a message is that was given up on, for who asks after the fact: what is in no mailbox and is no dead letter
//! was not therefore handled.

use everpost_persistence::Position;

use super::queue::DeadLetterSet;
use crate::message::MessageId;
use crate::message::outcome::Outcome;
use crate::message::reason::Reason;
use crate::shard::rules::dead_letters::Known;

/// What is known of a message that may have been given up on, as far back as
/// [`NEWEST_KNOWN`](crate::message::newest::NEWEST_KNOWN) such messages since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadLetterStatus {
    /// It was not given up on.
    Unknown,
    /// This is its dead letter.
    Here(Position),
    /// Its dead letter with this number was dropped, or edited, which made another message of it.
    Gone(Position, Reason),
    /// Its dead letter was replayed, and it got this number.
    Replayed(Position),
}

impl DeadLetterStatus {
    /// What whoever waits for a message is told whose dead letter has gone for this reason.
    pub(crate) fn outcome(reason: Reason) -> Outcome {
        match reason {
            Reason::KeyReused => Outcome::KeyReused,
            reason => Outcome::GivenUp(format!("its dead letter ({reason:?}) was dropped or edited since")),
        }
    }
}

impl DeadLetterSet {
    pub(crate) fn status(&self, id: MessageId) -> DeadLetterStatus {
        match self.find(id) {
            Some(dead_letter) => DeadLetterStatus::Here(dead_letter),
            None => self.left.get(id).copied().unwrap_or(DeadLetterStatus::Unknown),
        }
    }

    /// A dead letter was taken away for good.
    pub(super) fn note_gone(&mut self, dead_letter: Position, known: Known) {
        self.left.note(known.id, DeadLetterStatus::Gone(dead_letter, known.reason));
    }

    /// The message of a dead letter waits again, at this position.
    pub(super) fn note_replayed(&mut self, id: MessageId, position: Position) {
        self.left.note(id, DeadLetterStatus::Replayed(position));
    }
}
