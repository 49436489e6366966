//! The keys of records: which table, and where in it. Their byte form is specified in `docs/FORMAT.md`.
//!
//! Integers are big-endian, so that the order of the bytes is the order of the values; the partition comes first, so
//! that a partition is one range of a table.

use std::ops::Deref;

use crate::error::Damage;
use crate::ids::{MailboxId, Partition, Position, StoreId};
use crate::integers::{take_u16, take_u32, take_u64, take_u128};
use crate::table::{KEY_BYTES_MAX, Table};

/// An encoded key, on the stack.
#[derive(Clone, Copy)]
pub(crate) struct EncodedKey {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

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
    /// A record on its way to another store, in order of departure. Made by
    /// [`Stage::dispatch`](crate::Stage::dispatch) only, never overwritten, deleted once.
    Outbox {
        /// The partition that it was dispatched in.
        partition: Partition,
        /// The position that it was given.
        position: Position,
    },
    /// How far a lane of another store was received.
    Received {
        /// The partition of the lane.
        partition: Partition,
        /// The store that produces the lane.
        producer: StoreId,
        /// Tells the lanes of this producer and partition apart. This crate gives it no meaning.
        line: u64,
    },
    /// How far another store has acknowledged a lane of this one.
    Acknowledged {
        /// The partition of the lane.
        partition: Partition,
        /// The store that receives the lane.
        receiver: StoreId,
        /// Tells the lanes to this receiver in this partition apart. This crate gives it no meaning.
        line: u64,
    },
    /// What is known of another store.
    Peer {
        /// That store.
        store: StoreId,
    },
    /// Something that is to happen later.
    Timer {
        /// The partition of what it is for.
        partition: Partition,
        /// Names the timer.
        timer: u128,
    },
    /// What came of a request that may be made again.
    Request {
        /// The partition of the mailbox.
        partition: Partition,
        /// The mailbox that the request was made to.
        mailbox: MailboxId,
        /// Names the request within the mailbox.
        request: u128,
    },
    /// How something that is supervised fares.
    Supervision {
        /// The partition of the mailbox; 0 for what is no mailbox.
        partition: Partition,
        /// The mailbox, or another name in the same space.
        subject: MailboxId,
    },
    /// A small fact about whoever uses the store, rather than about anything in it.
    Note {
        /// Which one. This crate gives it no meaning.
        name: u32,
    },
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
            Self::Outbox { .. } => Table::Outbox,
            Self::Received { .. } => Table::Received,
            Self::Acknowledged { .. } => Table::Acknowledged,
            Self::Peer { .. } => Table::Peers,
            Self::Timer { .. } => Table::Timers,
            Self::Request { .. } => Table::Requests,
            Self::Supervision { .. } => Table::Supervision,
            Self::Note { .. } => Table::Notes,
        }
    }

    /// The position of an inbox or outbox record, and that of attempts, which go with their inbox record; the others have none, as far
    /// as this crate knows.
    pub(crate) const fn position(&self) -> Option<Position> {
        match *self {
            Self::Inbox { position, .. } | Self::Attempts { position, .. } | Self::Outbox { position, .. } => {
                Some(position)
            }
            _ => None,
        }
    }

    /// What a caller says of this record who knows what it means, and finds that nobody can have written it.
    #[must_use]
    pub fn damage(&self, reason: &'static str) -> Damage {
        Damage::new(self.table().name(), &self.encode(), reason)
    }

    /// The partition of the record; dead letters, peers and notes have none.
    #[must_use]
    pub const fn partition(&self) -> Option<Partition> {
        match *self {
            Self::Inbox { partition, .. }
            | Self::Mailbox { partition, .. }
            | Self::Attempts { partition, .. }
            | Self::Reply { partition, .. }
            | Self::Outbox { partition, .. }
            | Self::Received { partition, .. }
            | Self::Acknowledged { partition, .. }
            | Self::Timer { partition, .. }
            | Self::Request { partition, .. }
            | Self::Supervision { partition, .. } => Some(partition),
            Self::DeadLetter { .. } | Self::Peer { .. } | Self::Note { .. } => None,
        }
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any key, with small numbers often, so that keys meet.
    pub(crate) fn any_key() -> impl Strategy<Value = Key> {
        let partition = prop_oneof![0..3_u16, any::<u16>()].prop_map(Partition);
        let position = prop_oneof![1..20_u64, any::<u64>()].prop_map(Position);
        let mailbox = prop_oneof![0..5_u128, any::<u128>()].prop_map(MailboxId);
        let store = prop_oneof![0..3_u128, any::<u128>()].prop_map(StoreId);
        let names = (mailbox, prop_oneof![0..3_u128, any::<u128>()], store, prop_oneof![0..3_u64, any::<u64>()]);
        (0..Table::ALL.len(), partition, position, names).prop_map(
            |(table, partition, position, (mailbox, request, store, line))| match Table::ALL[table] {
                Table::Inbox => Key::Inbox { partition, position },
                Table::Mailboxes => Key::Mailbox { partition, mailbox },
                Table::Attempts => Key::Attempts { partition, position },
                Table::DeadLetters => Key::DeadLetter { position },
                Table::Replies => Key::Reply { partition, mailbox, request },
                Table::Outbox => Key::Outbox { partition, position },
                Table::Received => Key::Received { partition, producer: store, line },
                Table::Acknowledged => Key::Acknowledged { partition, receiver: store, line },
                Table::Peers => Key::Peer { store },
                Table::Timers => Key::Timer { partition, timer: request },
                Table::Requests => Key::Request { partition, mailbox, request },
                Table::Supervision => Key::Supervision { partition, subject: mailbox },
                Table::Notes => Key::Note { name: line as u32 },
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
