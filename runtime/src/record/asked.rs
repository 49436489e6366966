//! What turns have asked, as this node remembers it until they have committed: so that another attempt gets the same
//! replies, and one that asks something else is found out. Pure.

mod record;

use everpost_persistence::{Key, MailboxId, Partition, Position};

use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::ask::{AskDifference, RecordedAsk};
use crate::tables;

/// The most bytes of a record, but for its texts.
const RECORD_BYTES_MAX: usize = 80;

/// An ask that a turn has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The message whose turn it is.
    pub(crate) turn: MessageId,
    /// Which ask of that turn it is, counted from zero.
    pub(crate) place: u32,
    /// The node that was asked; none for this one.
    pub(crate) node: Option<String>,
    /// The number of the ask in this store.
    pub(crate) position: Position,
    pub(crate) to: Address,
    pub(crate) message: String,
    pub(crate) version: u16,
    /// Of its content, as far as its type says that it counts; see
    /// [`Message::fingerprint`](crate::Message::fingerprint).
    pub(crate) digest: [u8; 16],
    /// It became a dead letter, so that it had no effect.
    pub(crate) is_given_up: bool,
}

impl Asked {
    pub(crate) fn id(&self) -> MessageId {
        self.turn.ask(self.place)
    }

    /// Whether this is another ask than that.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        (&self.to, &self.message, self.version, &self.digest)
            != (&other.to, &other.message, other.version, &other.digest)
    }

    /// That `now` is asked in its place.
    pub(crate) fn difference_to(&self, now: &Self) -> AskDifference {
        AskDifference { number: now.place + 1, before: self.told(), now: now.told() }
    }

    /// The ask as people are told of it.
    pub(crate) fn told(&self) -> RecordedAsk {
        RecordedAsk { to: self.to.to_string(), message: self.message.clone(), version: self.version }
    }

    /// Where the store keeps what was asked: under the mailbox that asked.
    pub(crate) fn key(&self, partition: Partition, mailbox: MailboxId) -> Key {
        tables::reply(partition, mailbox, self.id().0)
    }

    /// The most bytes that its record has.
    pub(crate) fn bytes_max(&self) -> usize {
        RECORD_BYTES_MAX + self.to.as_str().len() + self.message.len() + self.node.as_ref().map_or(0, String::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn asked() -> Asked {
        Asked {
            turn: MessageId(7),
            place: 3,
            node: Some("west".to_owned()),
            position: Position(9),
            to: Address::new("bank", "a"),
            message: "debit".to_owned(),
            version: 1,
            digest: [8; 16],
            is_given_up: false,
        }
    }

    #[test]
    fn an_ask_is_another_one_by_destination_name_version_or_content() {
        let same = Asked { node: None, position: Position(1), ..asked() };
        assert!(!asked().differs(&same), "where it was sent from says nothing about it");
        let others = [
            (
                Asked { to: Address::new("bank", "b"), ..asked() },
                "was `debit` to bank/a on an earlier attempt, and is `debit` to bank/b now",
            ),
            (Asked { message: "owner".to_owned(), ..asked() }, "and is `owner` to bank/a now"),
            (Asked { version: 2, ..asked() }, "now in version 2 instead of 1"),
            (
                Asked { digest: [9; 16], ..asked() },
                "ask 4 of this turn was `debit` to bank/a on an earlier attempt, and is `debit` to bank/a now with \
                 another content",
            ),
        ];
        for (other, text) in others {
            assert!(asked().differs(&other));
            let told = asked().difference_to(&other).to_string();
            assert!(told.contains(text), "{told}");
        }
    }
}
