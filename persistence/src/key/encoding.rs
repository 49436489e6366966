//! The byte form of keys, which `docs/FORMAT.md` specifies.
//!
//! Integers are big-endian, so that the order of the bytes is the order of the values; the partition comes first, so
//! that a partition is one range of a table.

use std::ops::Deref;

use super::{Key, Table};
use crate::ids::{COUNT_END, MailboxId, Partition, Position, StoreId};

/// The longest encoded key: that of [`Key::Reply`] and [`Key::Request`].
pub(crate) const KEY_BYTES_MAX: usize = 34;

/// An encoded key, on the stack.
#[derive(Clone, Copy)]
pub(crate) struct EncodedKey {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl Key {
    pub(crate) fn encode(&self) -> EncodedKey {
        let mut encoded = EncodedKey { bytes: [0; KEY_BYTES_MAX], len: 0 };
        match *self {
            Self::Inbox { partition, position }
            | Self::Attempts { partition, position }
            | Self::Outbox { partition, position } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&position.0.to_be_bytes());
            }
            Self::Mailbox { partition, mailbox: MailboxId(name) }
            | Self::Timer { partition, timer: name }
            | Self::Supervision { partition, subject: MailboxId(name) } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&name.to_be_bytes());
            }
            Self::DeadLetter { position } => encoded.push(&position.0.to_be_bytes()),
            Self::Reply { partition, mailbox, request } | Self::Request { partition, mailbox, request } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&mailbox.0.to_be_bytes());
                encoded.push(&request.to_be_bytes());
            }
            Self::Received { partition, producer: store, line }
            | Self::Acknowledged { partition, receiver: store, line } => {
                encoded.push(&partition.0.to_be_bytes());
                encoded.push(&store.0.to_be_bytes());
                encoded.push(&line.to_be_bytes());
            }
            Self::Peer { store } => encoded.push(&store.0.to_be_bytes()),
            Self::Note { name } => encoded.push(&name.to_be_bytes()),
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
            Table::Outbox => {
                Self::Outbox { partition: Partition(take_u16(&mut rest)?), position: Position(take_u64(&mut rest)?) }
            }
            Table::Received => Self::Received {
                partition: Partition(take_u16(&mut rest)?),
                producer: StoreId(take_u128(&mut rest)?),
                line: take_u64(&mut rest)?,
            },
            Table::Acknowledged => Self::Acknowledged {
                partition: Partition(take_u16(&mut rest)?),
                receiver: StoreId(take_u128(&mut rest)?),
                line: take_u64(&mut rest)?,
            },
            Table::Peers => Self::Peer { store: StoreId(take_u128(&mut rest)?) },
            Table::Timers => Self::Timer { partition: Partition(take_u16(&mut rest)?), timer: take_u128(&mut rest)? },
            Table::Requests => Self::Request {
                partition: Partition(take_u16(&mut rest)?),
                mailbox: MailboxId(take_u128(&mut rest)?),
                request: take_u128(&mut rest)?,
            },
            Table::Supervision => Self::Supervision {
                partition: Partition(take_u16(&mut rest)?),
                subject: MailboxId(take_u128(&mut rest)?),
            },
            Table::Notes => Self::Note { name: take_u32(&mut rest)? },
        };
        rest.is_empty().then_some(key)
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

/// A number that a store counts, as [`take_u64`]; `None` also for one that no store comes to.
pub(crate) fn take_count(rest: &mut &[u8]) -> Option<u64> {
    take_u64(rest).filter(|count| *count < COUNT_END)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::any_key;

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
