//! Dead letters: messages that were given up on, with the reason, kept until someone decides.

use std::ops::ControlFlow;

use bytes::Bytes;
use everpost_persistence::{Key, ReadError, Store, Table};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::clock::Micros;
use crate::envelope::Header;
use crate::mailbox::Failures;
use crate::message::MessageId;

const DEAD_LETTER_VERSION: u8 = 1;

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
    /// Its deadline passed before its turn came.
    Expired,
    /// Another message was sent under its idempotency key.
    KeyReused,
}

/// A message that was given up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Where it was sent.
    pub address: Address,
    /// Its identity.
    pub id: MessageId,
    /// The first message of the chain of causes that led to it.
    pub trace: MessageId,
    /// The name of its type.
    pub message: String,
    /// Its number in the store's order.
    pub sequence: u64,
    /// Why it was given up on.
    pub reason: Reason,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong, oldest first; the newest eight.
    pub errors: Vec<String>,
    /// When it was sent.
    pub sent_at: Micros,
    /// When it was given up on.
    pub died_at: Micros,
    /// The message itself, as its sender encoded it.
    pub payload: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DeadLetterRecord<'a> {
    version: u8,
    reason: Reason,
    attempts: u32,
    died_at: u64,
    errors: Vec<String>,
    envelope: &'a [u8],
}

impl DeadLetterRecord<'_> {
    pub(crate) fn encode(reason: Reason, failures: &Failures, envelope: &[u8]) -> Bytes {
        let record = DeadLetterRecord {
            version: DEAD_LETTER_VERSION,
            reason,
            attempts: failures.attempts,
            died_at: Micros::now().0,
            errors: failures.errors.clone(),
            envelope,
        };
        postcard::to_allocvec(&record).expect("plain values can be encoded").into()
    }
}

/// All dead letters of a store, in the order in which they were sent. Blocks on the disk.
pub(crate) fn list(store: &Store) -> Result<Vec<DeadLetter>, ReadError> {
    let mut letters = Vec::new();
    store.scan(Table::DeadLetters, |key, record| {
        if let Key::DeadLetter { position } = key {
            match decode(record) {
                Some(letter) => letters.push(DeadLetter { sequence: position.0, ..letter }),
                None => tracing::warn!(
                    seq = position.0,
                    "a dead letter cannot be read by this build; it stays in the store"
                ),
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(letters)
}

/// Why a message was given up on, if it was. Blocks on the disk, and looks at every dead letter.
pub(crate) fn reason_of(store: &Store, id: MessageId) -> Result<Option<String>, ReadError> {
    let mut reason = None;
    store.scan(Table::DeadLetters, |_, record| match decode(record).filter(|letter| letter.id == id) {
        Some(letter) => {
            reason = Some(letter.errors.last().cloned().unwrap_or_else(|| format!("{:?}", letter.reason)));
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    })?;
    Ok(reason)
}

fn decode(record: &[u8]) -> Option<DeadLetter> {
    if record.first() != Some(&DEAD_LETTER_VERSION) {
        return None;
    }
    let record: DeadLetterRecord<'_> = postcard::from_bytes(record).ok()?;
    let (header, payload) = Header::decode(record.envelope).ok()?;
    Some(DeadLetter {
        address: Address::parse(header.destination)?,
        id: header.id(),
        trace: header.trace(),
        message: header.message.to_owned(),
        sequence: 0,
        reason: record.reason,
        attempts: record.attempts,
        errors: record.errors,
        sent_at: Micros(header.sent_at),
        died_at: Micros(record.died_at),
        payload: Bytes::copy_from_slice(payload),
    })
}
