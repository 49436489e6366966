//! What a slot says, as words.

use std::sync::atomic::{AtomicU64, Ordering};

use super::map::{SLOT_WORDS, WORDS};
use crate::ids::{MailboxId, Position};

/// What the first word says beside a position, which never comes near these bits.
const TAGS: u64 = 0b11 << 62;
const MAILBOX_OF: u64 = 0b01 << 62;
const MAILBOX: u64 = 0b10 << 62;
const QUERY: u64 = 0b11 << 62;

/// What a thread has in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The record at this position.
    Record(Position),
    /// What is kept for the mailbox of the record at this position, while that is worked on.
    MailboxOf(Position),
    /// What is kept for this mailbox, with no record in flight.
    Mailbox(MailboxId),
    /// Something about this mailbox that leaves no trace.
    Query(MailboxId),
}

impl Mark {
    /// The first word of the slot, and the others where they change.
    #[inline]
    pub(super) fn words(self) -> (u64, Option<[u64; SLOT_WORDS - 1]>) {
        let (first, mailbox) = match self {
            Self::Record(position) => (position.0, None),
            Self::MailboxOf(position) => (MAILBOX_OF | position.0, None),
            Self::Mailbox(mailbox) => (MAILBOX, Some(mailbox)),
            Self::Query(mailbox) => (QUERY, Some(mailbox)),
        };
        (first.to_be(), mailbox.map(|mailbox| [high(mailbox).to_be(), low(mailbox).to_be()]))
    }
}

/// The first word last, which says whether the others count. Half a change names no mailbox at all.
pub(super) fn store(line: &[AtomicU64; WORDS], first: u64, mailbox: Option<[u64; SLOT_WORDS - 1]>) {
    if let Some([high, low]) = mailbox {
        line[1].store(high, Ordering::Relaxed);
        line[2].store(low, Ordering::Relaxed);
    }
    line[0].store(first, Ordering::Release);
}

/// What a line says whose first word this is.
pub(super) fn mark(first: u64, line: &[AtomicU64; WORDS]) -> Option<Mark> {
    let id = |word: usize| u128::from(u64::from_be(line[word].load(Ordering::Relaxed)));
    let (position, mailbox) = (Position(first & !TAGS), || MailboxId(id(1) << 64 | id(2)));
    match first & TAGS {
        0 => (first != 0).then_some(Mark::Record(position)),
        MAILBOX_OF => Some(Mark::MailboxOf(position)),
        MAILBOX => Some(Mark::Mailbox(mailbox())),
        _ => Some(Mark::Query(mailbox())),
    }
}

pub(super) fn high(mailbox: MailboxId) -> u64 {
    u64::try_from(mailbox.0 >> 64).expect("half of it is left")
}

pub(super) fn low(mailbox: MailboxId) -> u64 {
    u64::try_from(mailbox.0 & u128::from(u64::MAX)).expect("half of it is left")
}
