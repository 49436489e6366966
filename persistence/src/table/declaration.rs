//! A table as it is declared.

use std::num::NonZeroU8;

use super::id::{Role, TableId};

/// The longest encoded key.
pub(crate) const KEY_BYTES_MAX: usize = 34;
/// The shortest one: a partition.
pub(crate) const KEY_BYTES_MIN: usize = 2;

/// What a part of a key is. Each is stored big-endian, so that the order of keys is that of their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The partition: 2 bytes. Always the first field, so that a partition is one range of its table.
    Partition,
    /// A position that the store has given out: 8 bytes. Only queues and their companions have it; any other number of
    /// 8 bytes is a [`Field::U64`].
    Position,
    /// 4 bytes.
    U32,
    /// 8 bytes.
    U64,
    /// 16 bytes: an id.
    U128,
}

/// A table, declared by whoever opens the store.
///
/// Its number stands for it on the disk: it is never given to another table, and a new table gets a new one. `since` is
/// the format of stores that brings it: a store of an older format gets the table when it is opened, and programs that
/// do not know it refuse the store from then on. Where a table is added, `since` is one more than the
/// [`Schema::format`](crate::Schema::format) of before.
///
/// ```
/// use everpost_persistence::{Field, Schema, Table};
///
/// const LETTERS: Table = Table::queue(1, "letters", 1).with_companion(&RECEIPTS);
/// const RECEIPTS: Table = Table::companion(2, "receipts", 1, 1);
/// const PEOPLE: Table = Table::keyed(3, "people", 1, &[Field::Partition, Field::U128]);
/// const TABLES: Schema = Schema::new(&[LETTERS, RECEIPTS, PEOPLE]);
/// # assert_eq!(TABLES.tables().len(), 3);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Table {
    id: TableId,
    name: &'static str,
    since: u32,
    fields: &'static [Field],
}

const OF_QUEUES: &[Field] = &[Field::Partition, Field::Position];

impl Field {
    const fn bytes(self) -> usize {
        match self {
            Self::Partition => 2,
            Self::U32 => 4,
            Self::Position | Self::U64 => 8,
            Self::U128 => 16,
        }
    }

    const fn is(self, other: Self) -> bool {
        self as u8 == other as u8
    }
}

impl Table {
    /// A table whose records are set and deleted by their keys, of these fields.
    ///
    /// # Panics
    ///
    /// If there are no fields, or they are more than 34 bytes together; if a partition is not the first, or there is a
    /// position; if the number is 0 or above 127. In a constant that is an error of the compiler.
    #[must_use]
    pub const fn keyed(number: u8, name: &'static str, since: u32, fields: &'static [Field]) -> Self {
        assert!(!fields.is_empty(), "a key has a field at least");
        let mut at = 0;
        while at < fields.len() {
            assert!(!fields[at].is(Field::Position), "positions are given out to the records of queues");
            assert!(at == 0 || !fields[at].is(Field::Partition), "a partition is the first field");
            at += 1;
        }
        let role = Role::Keyed { is_partitioned: fields[0].is(Field::Partition) };
        Self::new(number, role, name, since, fields)
    }

    /// A table whose records are enqueued, see [`Stage::enqueue`](crate::Stage::enqueue): each gets the next position,
    /// is never overwritten, and deleted once. Its keys are a partition and a position.
    ///
    /// # Panics
    ///
    /// As [`keyed`](Self::keyed).
    #[must_use]
    pub const fn queue(number: u8, name: &'static str, since: u32) -> Self {
        Self::new(number, Role::Queue { companion: None }, name, since, OF_QUEUES)
    }

    /// A table of what is kept beside the records of the queue with this number, under the same keys. Deleting a record
    /// of the queue deletes that of its companion.
    ///
    /// # Panics
    ///
    /// As [`keyed`](Self::keyed).
    #[must_use]
    pub const fn companion(number: u8, name: &'static str, since: u32, queue: u8) -> Self {
        Self::new(number, Role::Companion { queue: checked(queue) }, name, since, OF_QUEUES)
    }

    /// The same queue, with what goes with its records.
    ///
    /// # Panics
    ///
    /// If this is no queue, or the other is not declared as a companion of it. In a constant that is an error of the
    /// compiler.
    #[must_use]
    pub const fn with_companion(self, companion: &Self) -> Self {
        assert!(self.id.is_queue(), "only the records of a queue have companions");
        let is_of_this = match companion.id.queue() {
            Some(queue) => queue.number() == self.id.number(),
            None => false,
        };
        assert!(is_of_this, "the companion is declared as that of another queue");
        let role = Role::Queue { companion: Some(checked(companion.id.number())) };
        Self { id: TableId::new(checked(self.id.number()), role), ..self }
    }

    const fn new(number: u8, role: Role, name: &'static str, since: u32, fields: &'static [Field]) -> Self {
        let table = Self { id: TableId::new(checked(number), role), name, since, fields };
        assert!(table.key_bytes() <= KEY_BYTES_MAX, "a key has 34 bytes at most");
        table
    }

    /// Which table it is.
    #[must_use]
    #[inline]
    pub const fn id(&self) -> TableId {
        self.id
    }

    /// The name of the table in the store.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The format of stores that brought the table.
    #[must_use]
    pub const fn since(&self) -> u32 {
        self.since
    }

    /// What its keys are made of.
    #[must_use]
    #[inline]
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// The length of each encoded key.
    pub(crate) const fn key_bytes(&self) -> usize {
        let (mut bytes, mut at) = (0, 0);
        while at < self.fields.len() {
            bytes += self.fields[at].bytes();
            at += 1;
        }
        bytes
    }
}

/// The number of a table; the highest bit is taken in the tags of changes.
const fn checked(number: u8) -> NonZeroU8 {
    assert!(number <= 127, "numbers of tables go up to 127");
    match NonZeroU8::new(number) {
        Some(number) => number,
        None => panic!("numbers of tables begin with 1"),
    }
}
