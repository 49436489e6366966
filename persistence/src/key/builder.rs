//! Makes a key of its fields, which are held against the declaration of the table.

use super::encoded::Key;
use crate::ids::{Partition, Position};
use crate::table::{Field, Table};

/// A key that is being made; see [`Table::key`].
#[derive(Debug, Clone, Copy)]
#[must_use = "it is no key before `end`"]
pub struct KeyBuilder {
    key: Key,
    fields: &'static [Field],
    at: usize,
}

impl Table {
    /// Begins a key of this table: its fields follow in the order in which they were declared.
    ///
    /// ```
    /// use everpost_persistence::{Field, Key, Partition, Table};
    ///
    /// const PEOPLE: Table = Table::keyed(3, "people", 1, &[Field::Partition, Field::U128]);
    ///
    /// const fn person(partition: Partition, id: u128) -> Key {
    ///     PEOPLE.key().partition(partition).u128(id).end()
    /// }
    /// assert_eq!(person(Partition(7), 1).partition(), Some(Partition(7)));
    /// ```
    #[inline]
    pub const fn key(&self) -> KeyBuilder {
        KeyBuilder { key: Key::empty(self.id()), fields: self.fields(), at: 0 }
    }
}

/// # Panics
///
/// All of these, if the table is declared with another field at this place: a defect of the caller.
impl KeyBuilder {
    /// Adds the partition.
    #[inline]
    pub const fn partition(self, partition: Partition) -> Self {
        assert!(matches!(self.next(), Some(Field::Partition)), "the table has another field here");
        self.with(partition.0.to_be_bytes())
    }

    /// Adds the position.
    #[inline]
    pub const fn position(self, position: Position) -> Self {
        assert!(matches!(self.next(), Some(Field::Position)), "the table has another field here");
        self.with(position.0.to_be_bytes())
    }

    /// Adds a number of 4 bytes.
    #[inline]
    pub const fn u32(self, number: u32) -> Self {
        assert!(matches!(self.next(), Some(Field::U32)), "the table has another field here");
        self.with(number.to_be_bytes())
    }

    /// Adds a number of 8 bytes.
    #[inline]
    pub const fn u64(self, number: u64) -> Self {
        assert!(matches!(self.next(), Some(Field::U64)), "the table has another field here");
        self.with(number.to_be_bytes())
    }

    /// Adds an id of 16 bytes.
    #[inline]
    pub const fn u128(self, id: u128) -> Self {
        assert!(matches!(self.next(), Some(Field::U128)), "the table has another field here");
        self.with(id.to_be_bytes())
    }

    /// The key, once it has all of its fields.
    #[must_use]
    #[inline]
    pub const fn end(self) -> Key {
        assert!(self.next().is_none(), "the table has more fields");
        self.key
    }

    #[inline]
    const fn next(&self) -> Option<Field> {
        if self.at < self.fields.len() { Some(self.fields[self.at]) } else { None }
    }

    #[inline]
    const fn with<const N: usize>(mut self, field: [u8; N]) -> Self {
        self.key.push(field);
        self.at += 1;
        self
    }
}
