//! The record of a dead letter, as the store keeps it; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use everpost_persistence::Position;
use serde::{Deserialize, Serialize};

use super::index::Known;
use super::{DeadLetter, Reason};
use crate::address::{Address, mailbox_id};
use crate::clock::Micros;
use crate::envelope::Header;
use crate::mailbox::Failures;
use crate::waiter::Outcome;

const DEAD_LETTER_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
pub(crate) struct DeadLetterRecord<'a> {
    version: u8,
    reason: Reason,
    attempts: u32,
    died_at: u64,
    errors: Vec<String>,
    pub(super) envelope: &'a [u8],
}

impl<'a> DeadLetterRecord<'a> {
    pub(crate) fn encode(reason: Reason, failures: &Failures, died_at: Micros, envelope: &[u8]) -> Bytes {
        let record = DeadLetterRecord {
            version: DEAD_LETTER_VERSION,
            reason,
            attempts: failures.attempts,
            died_at: died_at.0,
            errors: failures.errors.clone(),
            envelope,
        };
        postcard::to_allocvec(&record).expect("plain values can be encoded").into()
    }

    /// Reads a record; none for bytes that are not one.
    pub(super) fn decode(record: &'a [u8]) -> Option<Self> {
        if record.first() != Some(&DEAD_LETTER_VERSION) {
            return None;
        }
        postcard::from_bytes(record).ok()
    }
}

/// The message of a record in its envelope, if the record can be read.
pub(crate) fn envelope_of(record: &[u8]) -> Option<&[u8]> {
    DeadLetterRecord::decode(record).map(|record| record.envelope)
}

/// What the shelf knows of a record, if the record can be read.
pub(crate) fn known_of(record: &[u8]) -> Option<Known> {
    let record = DeadLetterRecord::decode(record)?;
    let (header, _) = Header::decode(record.envelope).ok()?;
    Some(Known { id: header.id(), mailbox: mailbox_id(header.destination), died_at: Micros(record.died_at) })
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
            sequence: position.0,
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
