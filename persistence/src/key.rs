//! The keys of records: which table, and where in it. Owns their byte form, which `docs/FORMAT.md` specifies.
//!
//! Integers are big-endian, so that the order of the bytes is the order of the values; the partition comes first, so
//! that a partition is one range of a table.

use std::ops::Deref;

use crate::ids::{MailboxId, Partition, Position};

/// Names one record: the table and the key in it. The order of keys is the order of the tables, then that of the
/// encoded keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A record in order of arrival. Made by [`Stage::enqueue`](crate::Stage::enqueue) only, never overwritten,
    /// deleted once.
    Inbox {
        /// The partition that it was enqueued in.
        partition: Partition,
        /// The position that it was given.
        position: Position,
    },
    /// What is kept about a mailbox.
    Mailbox {
        /// The partition of the mailbox.
        partition: Partition,
        /// The mailbox.
        mailbox: MailboxId,
    },
    /// What is kept about the attempts at an inbox record. Deleting the inbox record of this position deletes this
    /// one too.
    Attempts {
        /// The partition of the inbox record.
        partition: Partition,
        /// The position of the inbox record.
        position: Position,
    },
    /// A record that was given up on.
    DeadLetter {
        /// The position of the inbox record that it was.
        position: Position,
    },
    /// The kept answer to a request.
    Reply {
        /// The partition of the mailbox.
        partition: Partition,
        /// The mailbox that answered.
        mailbox: MailboxId,
        /// Names the request within the mailbox.
        request: u128,
    },
}

/// The tables that a caller can read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// [`Key::Inbox`].
    Inbox,
    /// [`Key::Mailbox`].
    Mailboxes,
    /// [`Key::Attempts`].
    Attempts,
    /// [`Key::DeadLetter`].
    DeadLetters,
    /// [`Key::Reply`].
    Replies,
}

/// The longest encoded key: that of [`Key::Reply`].
pub(crate) const KEY_BYTES_MAX: usize = 34;

/// An encoded key, on the stack.
#[derive(Clone, Copy)]
pub(crate) struct EncodedKey {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl Key {
    /// The table that holds the record.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Inbox { .. } => Table::Inbox,
            Self::Mailbox { .. } => Table::Mailboxes,
            Self::Attempts { .. } => Table::Attempts,
            Self::DeadLetter { .. } => Table::DeadLetters,
            Self::Reply { .. } => Table::Replies,
        }
    }

    /// The partition of the record; dead letters have none.
    #[must_use]
    pub const fn partition(&self) -> Option<Partition> {
        match *self {
            Self::Inbox { partition, .. }
            | Self::Mailbox { partition, .. }
            | Self::Attempts { partition, .. }
            | Self::Reply { partition, .. } => Some(partition),
            Self::DeadLetter { .. } => None,
        }
    }

    pub(crate) fn encode(&self) -> EncodedKey {
        let mut encoded = EncodedKey { bytes: [0; KEY_BYTES_MAX], len: 0 };
        match *self {
            Self::Inbox { partition, position } | Self::Attempts { partition, position } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&position.0.to_be_bytes());
            }
            Self::Mailbox { partition, mailbox } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&mailbox.0.to_be_bytes());
            }
            Self::DeadLetter { position } => encoded.push(&position.0.to_be_bytes()),
            Self::Reply { partition, mailbox, request } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&mailbox.0.to_be_bytes());
                encoded.push(&request.to_be_bytes());
            }
        }
        encoded
    }

    /// The key that these bytes are in that table; `None` if they are none.
    pub(crate) fn decode(table: Table, bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let key = match table {
            Table::Inbox => {
                Self::Inbox { partition: Partition(take_u16(&mut rest)?), position: Position(take_u64(&mut rest)?) }
            }
            Table::Mailboxes => {
                Self::Mailbox { partition: Partition(take_u16(&mut rest)?), mailbox: MailboxId(take_u128(&mut rest)?) }
            }
            Table::Attempts => {
                Self::Attempts { partition: Partition(take_u16(&mut rest)?), position: Position(take_u64(&mut rest)?) }
            }
            Table::DeadLetters => Self::DeadLetter { position: Position(take_u64(&mut rest)?) },
            Table::Replies => Self::Reply {
                partition: Partition(take_u16(&mut rest)?),
                mailbox: MailboxId(take_u128(&mut rest)?),
                request: take_u128(&mut rest)?,
            },
        };
        rest.is_empty().then_some(key)
    }
}

impl Table {
    /// All tables, in the order of their keys.
    pub const ALL: [Self; 5] = [Self::Inbox, Self::Mailboxes, Self::Attempts, Self::DeadLetters, Self::Replies];

    /// The name of the table in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Mailboxes => "mailboxes",
            Self::Attempts => "attempts",
            Self::DeadLetters => "dead_letters",
            Self::Replies => "replies",
        }
    }

    /// The length of each encoded key of the table.
    pub(crate) const fn key_bytes(self) -> usize {
        match self {
            Self::Inbox | Self::Attempts => 10,
            Self::Mailboxes => 18,
            Self::DeadLetters => 8,
            Self::Replies => KEY_BYTES_MAX,
        }
    }
}

impl EncodedKey {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Deref for EncodedKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Takes a big-endian integer off the front; `None`, and nothing taken, if there are too few bytes.
pub(crate) fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    take(rest).map(u16::from_be_bytes)
}

/// As [`take_u16`].
pub(crate) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_be_bytes)
}

/// As [`take_u16`].
pub(crate) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

/// As [`take_u16`].
pub(crate) fn take_u128(rest: &mut &[u8]) -> Option<u128> {
    take(rest).map(u128::from_be_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any key, with small numbers often, so that keys meet.
    pub(crate) fn any_key() -> impl Strategy<Value = Key> {
        let partition = prop_oneof![0..3_u16, any::<u16>()].prop_map(Partition);
        let position = prop_oneof![1..20_u64, any::<u64>()].prop_map(Position);
        let mailbox = prop_oneof![0..5_u128, any::<u128>()].prop_map(MailboxId);
        (0..5_usize, partition, position, mailbox, prop_oneof![0..3_u128, any::<u128>()]).prop_map(
            |(table, partition, position, mailbox, request)| match Table::ALL[table] {
                Table::Inbox => Key::Inbox { partition, position },
                Table::Mailboxes => Key::Mailbox { partition, mailbox },
                Table::Attempts => Key::Attempts { partition, position },
                Table::DeadLetters => Key::DeadLetter { position },
                Table::Replies => Key::Reply { partition, mailbox, request },
            },
        )
    }

    proptest! {
        #[test]
        fn keys_survive_encoding(key in any_key()) {
            let encoded = key.encode();
            prop_assert_eq!(encoded.len(), key.table().key_bytes());
            prop_assert_eq!(Key::decode(key.table(), &encoded), Some(key));
            prop_assert_eq!(Key::decode(key.table(), &encoded[1..]), None);
        }

        #[test]
        fn encoded_order_is_key_order(a in any_key(), b in any_key()) {
            if a.table() == b.table() {
                prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
            } else {
                prop_assert_eq!(a.cmp(&b), a.table().cmp(&b.table()));
            }
        }
    }
}
