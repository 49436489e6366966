//! The keys of records: which table, and where in it.

mod encoding;
mod table;

pub(crate) use self::encoding::{EncodedKey, KEY_BYTES_MAX, take_count, take_u16, take_u32, take_u64, take_u128};
pub use self::table::Table;
use crate::error::Damage;
use crate::ids::{MailboxId, Partition, Position, StoreId};

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
}
