//! Notes: what nodes tell each other beside the messages. None of them is stored; what still matters after a break is
//! said again. The bytes are specified in `docs/WIRE.md`.

mod raw;

use crate::message::outcome::Outcome;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A note. Variants are never renumbered; new ones are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// What becomes of this message, which was acknowledged? Answered by an outcome, now or when there is one.
    Inquiry { id: u128, destination: String, reply: bool },
    /// What became of a message that was asked about.
    Outcome { id: u128, fate: Fate },
    /// The stored reply to this ask is not needed any more.
    Forget { id: u128, destination: String },
    /// This mailbox is full: hold back new messages from outside to it alone.
    Full { destination: String },
    /// It has room again.
    Room { destination: String },
    /// A volatile query to an actor's state.
    Query {
        number: u64,
        destination: String,
        query: String,
        version: u16,
        #[serde(with = "raw")]
        payload: Vec<u8>,
    },
    /// Its answer.
    Answer {
        number: u64,
        #[serde(with = "raw::result")]
        answer: Result<Vec<u8>, NoAnswer>,
    },
    /// This message is not taken: nothing more of its lane is, in this conversation.
    Stopped { receiver_type: u64, partition: u16, sequence: u64, why: String },
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// Its turn has committed; the reply, if it was wanted in time.
    Handled(#[serde(with = "raw::option")] Option<Vec<u8>>),
    /// It was given up on and is a dead letter.
    GivenUp(String),
    /// So it was, because another message was sent under its idempotency key.
    KeyReused,
    /// It has expired, and was dropped.
    Expired,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NoAnswer {
    /// The actor type does not answer such queries there.
    NotHandled,
    /// It was lost with the activation that had it.
    Lost,
    /// It cannot be answered, and why.
    Failed(String),
}

impl Note {
    pub(crate) fn encode(&self) -> Bytes {
        postcard::to_allocvec(self).expect("plain values can be encoded").into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

impl From<Outcome> for Fate {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Replied(reply) => Self::Handled(Some(reply.into())),
            Outcome::Handled => Self::Handled(None),
            Outcome::GivenUp(reason) => Self::GivenUp(reason),
            Outcome::KeyReused => Self::KeyReused,
            Outcome::Undeliverable(_) => unreachable!("what lies in an outbox is waited for on its own node only"),
            Outcome::Expired => Self::Expired,
        }
    }
}

impl From<Fate> for Outcome {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Handled(Some(reply)) => Self::Replied(reply.into()),
            Fate::Handled(None) => Self::Handled,
            Fate::GivenUp(reason) => Self::GivenUp(reason),
            Fate::KeyReused => Self::KeyReused,
            Fate::Expired => Self::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_of_a_note_are_fixed() {
        let fate = Fate::Handled(Some(vec![7]));
        let notes = [
            Note::Inquiry { id: 300, destination: "a/b".into(), reply: true },
            Note::Outcome { id: 1, fate },
            Note::Outcome { id: 1, fate: Fate::GivenUp("no".into()) },
            Note::Outcome { id: 1, fate: Fate::KeyReused },
            Note::Outcome { id: 1, fate: Fate::Expired },
            Note::Forget { id: 2, destination: "a/b".into() },
            Note::Full { destination: "a/b".into() },
            Note::Room { destination: "a/b".into() },
            Note::Query { number: 3, destination: "a/b".into(), query: "q".into(), version: 1, payload: vec![9] },
            Note::Answer { number: 3, answer: Ok(vec![8]) },
            Note::Answer { number: 3, answer: Err(NoAnswer::Lost) },
            Note::Stopped { receiver_type: 4, partition: 5, sequence: 6, why: "no".into() },
            Note::Answer { number: 3, answer: Err(NoAnswer::Failed("no".into())) },
        ];
        let hex = |note: &Note| note.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let expected = [
            "00ac0203612f6201",
            "010100010107",
            "010101026e6f",
            "010102",
            "010103",
            "020203612f62",
            "0303612f62",
            "0403612f62",
            "050303612f620171010109",
            "0603000108",
            "06030101",
            "07040506026e6f",
            "06030102026e6f",
        ];
        assert_eq!(notes.each_ref().map(hex), expected.map(str::to_owned));
        for note in notes {
            assert_eq!(Note::decode(&note.encode()), Ok(note));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Note::decode(&bytes);
        }
    }
}
