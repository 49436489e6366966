//! The record of a dead letter, as the store keeps it; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use everpost_persistence::Position;
use serde::{Deserialize, Serialize};

use crate::base::clock::{Micros, Now};
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::message::outcome::Outcome;
use crate::message::priority::Priority;
use crate::message::reason::Reason;
use crate::message::sequence::Sequence;
use crate::message::{Message, MessageId};
use crate::record::attempts::Failures;

const DEAD_LETTER_VERSION: u8 = 2;
/// The version without the moment on the node's own timeline, which is read.
const DEAD_LETTER_VERSION_WALL: u8 = 1;

/// A message that was given up on.
///
/// An actor type that registers it as a message (`handlers.on::<DeadLetter>()`) is sent each dead letter of its own
/// addresses, to the actor whose message it was, in the commit that buries it. One that dies in that handler is not
/// told again.
///
/// ```
/// use everpost::{Actor, DeadLetter, Durable, Failure, Handler, Handlers, Turn};
///
/// struct Account;
///
/// impl Actor for Account {
///     const TYPE: &'static str = "account";
///     type State = u32; // how many messages to it were given up on
///
///     fn handlers(handlers: &mut Handlers<Self>) {
///         handlers.on::<DeadLetter>();
///     }
/// }
///
/// impl Handler<DeadLetter> for Account {
///     async fn handle(&self, lost: &mut Durable<u32>, letter: DeadLetter, _: &mut Turn<'_>) -> Result<(), Failure> {
///         **lost += 1;
///         println!("{} was given up on: {:?}", letter.message, letter.reason);
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Its number in the store's order, which names it among the dead letters of the node that gave up on it: that of
    /// its actor, or that of its sender for one that expired before it was sent there.
    pub sequence: Sequence,
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

#[derive(Serialize, Deserialize)]
pub(crate) struct DeadLetterRecord<'a> {
    version: u8,
    pub(crate) reason: Reason,
    attempts: u32,
    died_at: u64,
    errors: Vec<String>,
    pub(crate) envelope: &'a [u8],
    /// Since when it is kept, on the node's own timeline: `died_at` is for people. Behind the rest since version 2.
    #[serde(skip)]
    pub(crate) kept_since: u64,
}

impl<'a> DeadLetterRecord<'a> {
    pub(crate) fn encode(reason: Reason, failures: &Failures, now: Now, envelope: &[u8]) -> Bytes {
        let record = DeadLetterRecord {
            version: DEAD_LETTER_VERSION,
            reason,
            attempts: failures.attempts,
            died_at: now.wall.0,
            errors: failures.errors.clone(),
            envelope,
            kept_since: now.steady.0,
        };
        postcard::to_allocvec(&(&record, record.kept_since)).expect("plain values can be encoded").into()
    }

    /// Reads a record; none for bytes that are not one.
    pub(crate) fn decode(record: &'a [u8]) -> Option<Self> {
        match *record.first()? {
            // The timeline began as wall time.
            DEAD_LETTER_VERSION_WALL => {
                let record: Self = postcard::from_bytes(record).ok()?;
                Some(Self { kept_since: record.died_at, ..record })
            }
            DEAD_LETTER_VERSION => {
                let (record, kept_since): (Self, u64) = postcard::from_bytes(record).ok()?;
                Some(Self { kept_since, ..record })
            }
            _ => None,
        }
    }
}

/// The message of a record in its envelope, if the record can be read.
pub(crate) fn envelope_of(record: &[u8]) -> Option<&[u8]> {
    DeadLetterRecord::decode(record).map(|record| record.envelope)
}

/// What whoever waits for the message of this record is told.
pub(crate) fn outcome_of(position: Position, record: &[u8]) -> Outcome {
    match DeadLetter::decode(position, record) {
        Some(letter) => letter.outcome(),
        None => Outcome::GivenUp("its dead letter cannot be read by this build".to_owned()),
    }
}

impl DeadLetter {
    /// Reads the record of the letter with this number; none for bytes that this build cannot read.
    pub(crate) fn decode(position: Position, record: &[u8]) -> Option<Self> {
        let record = DeadLetterRecord::decode(record)?;
        let (header, payload) = Header::decode(record.envelope).ok()?;
        Some(Self {
            address: Address::parse(header.destination)?,
            sender: header.sender.and_then(Address::parse),
            id: header.id(),
            trace: header.trace(),
            replaces: header.extension.replaces(),
            message: header.message.to_owned(),
            version: header.message_version,
            priority: header.priority(),
            sequence: Sequence::of(position),
            reason: record.reason,
            attempts: record.attempts,
            errors: record.errors,
            sent_at: Micros(header.sent_at),
            died_at: Micros(record.died_at),
            payload: Bytes::copy_from_slice(payload),
        })
    }

    /// What whoever waits for the message is told.
    fn outcome(&self) -> Outcome {
        match self.reason {
            Reason::KeyReused => Outcome::KeyReused,
            reason => Outcome::GivenUp(self.errors.last().cloned().unwrap_or_else(|| format!("{reason:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Steady;
    use crate::message::envelope::{Origin, seal};

    #[derive(Serialize, Deserialize, everpost::Message)]
    struct Note;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_a_dead_letter_are_fixed_and_those_without_the_timeline_are_read() {
        let envelope = seal("box/a", Origin::plain(MessageId(9), Micros(5)), &Note).unwrap();
        let failures = Failures { attempts: 3, errors: vec!["no".into()], ..Failures::default() };
        let now = Now { steady: Steady(200), wall: Micros(100) };
        let record = DeadLetterRecord::encode(Reason::Expired, &failures, now, &envelope);
        let behind_the_version = format!("0303640102 6e6f {:02x}{}", envelope.len(), hex(&envelope)).replace(' ', "");
        assert_eq!(hex(&record), format!("02{behind_the_version}c801"));
        let known = |record: &[u8]| {
            let id = Header::decode(envelope_of(record)?).ok()?.0.id();
            Some((id.0, DeadLetterRecord::decode(record)?.kept_since))
        };
        assert_eq!(known(&record), Some((9, 200)));
        let mut older = record[..record.len() - 2].to_vec();
        older[0] = DEAD_LETTER_VERSION_WALL;
        assert_eq!(known(&older), Some((9, 100)), "the timeline began as wall time");
        older[0] = 3;
        assert_eq!(known(&older), None);
    }
}
