//! The numbers that name things: small, copyable, never a bare integer in a signature.

use std::fmt;

/// A hash slot of mailboxes: the unit of placement. Below the partition count of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Partition(pub u16);

/// Names a mailbox. This crate gives it no meaning; equal ids are the same mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MailboxId(pub u128);

/// A place in the one order of everything that was ever submitted to a store.
///
/// Each enqueued or dispatched record takes one, and each submission takes one for itself, its *ticket*. So
/// `store.durable() >= position` answers both "is this record durable" and "is this submission durable". The first is
/// 1; 0 means "none". A position that was part of a durable group is never given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// The number of a group: what one journal record holds and one commit makes durable. Consecutive, the first is 1; 0
/// means "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Group(pub u64);

/// Names a shard for ever, whichever node has it: 128 random bits, drawn when its store is made. A shard is a set of
/// partitions with all that belongs to them; a store is one shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u128);

/// Names one run of a store: raised and made durable each time it is opened, before anything can leave the process.
///
/// Two runs with the same counter and different nonces are two copies of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Epoch {
    /// How often the store was opened, this time included.
    pub counter: u64,
    /// 64 random bits, drawn at this opening.
    pub nonce: u64,
}

/// No number that a store counts comes as far: at a billion a second it would take 146 years. One that is read from the
/// disk and does was written by nobody; what is below it can be counted on from, and leaves room for the tags of the
/// slots.
pub(crate) const COUNT_END: u64 = 1 << 62;

impl Group {
    /// The group that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Position {
    /// The position that follows.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ShardId({self})")
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
