//! A key, in the form that it has on the disk: its fields one after another, big-endian.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::fields::Fields;
use crate::ids::{Partition, Position};
use crate::table::{KEY_BYTES_MAX, Table, TableId};

/// Names one record: the table and the key in it. The order of keys is the order of the tables, then that of their
/// fields.
///
/// Made of its fields by [`Table::key`], and read by [`Key::fields`].
#[derive(Clone, Copy)]
// In this order: words of a key that was just copied are read from within the words that were written.
#[repr(C)]
pub struct Key {
    /// Zero beyond `len`.
    bytes: [u8; KEY_BYTES_MAX],
    len: u8,
    table: TableId,
}

/// Keys are compared and hashed by so many bytes.
const WORD: usize = size_of::<u64>();
/// Where the position is in the keys of queues and their companions.
const POSITION_AT: usize = 2;

impl Key {
    /// The key of a table that has no field yet.
    #[inline]
    pub(super) const fn empty(table: TableId) -> Self {
        Self { bytes: [0; KEY_BYTES_MAX], len: 0, table }
    }

    /// Adds the bytes of a field.
    #[inline]
    pub(super) const fn push<const N: usize>(&mut self, field: [u8; N]) {
        let (_, free) = self.bytes.split_at_mut(self.len as usize);
        free.split_at_mut(N).0.copy_from_slice(&field);
        self.len += N as u8;
    }

    /// The key of a record of a queue, or of its companion.
    #[inline]
    pub(crate) const fn queued(table: TableId, partition: Partition, position: Position) -> Self {
        let mut key = Self::empty(table);
        key.push(partition.0.to_be_bytes());
        key.push(position.0.to_be_bytes());
        key
    }

    /// The key that these bytes are in that table; `None` if they are none.
    pub(crate) fn decode(table: &Table, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != table.key_bytes() {
            return None;
        }
        let mut key = Self::empty(table.id());
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        key.len = u8::try_from(bytes.len()).expect("declared keys are short");
        Some(key)
    }

    /// The first key of a partition, or the last one: its other fields are filled with this byte.
    pub(crate) fn edge(table: &Table, partition: Partition, fill: u8) -> Self {
        let mut key = Self::empty(table.id());
        key.push(partition.0.to_be_bytes());
        key.bytes[usize::from(key.len)..table.key_bytes()].fill(fill);
        key.len = u8::try_from(table.key_bytes()).expect("declared keys are short");
        key
    }

    /// The table of the record.
    #[must_use]
    #[inline]
    pub const fn table(&self) -> TableId {
        self.table
    }

    /// The partition of the record, if its table is declared with one.
    #[must_use]
    #[inline]
    pub const fn partition(&self) -> Option<Partition> {
        if self.table.is_partitioned() {
            Some(Partition(u16::from_be_bytes([self.bytes[0], self.bytes[1]])))
        } else {
            None
        }
    }

    /// The position of a record of a queue, or of what goes with it; the others have none, as far as this crate knows.
    #[must_use]
    #[inline]
    pub const fn position(&self) -> Option<Position> {
        if !self.table.has_positions() {
            return None;
        }
        match self.bytes.split_at(POSITION_AT).1.first_chunk() {
            Some(position) => Some(Position(u64::from_be_bytes(*position))),
            None => None,
        }
    }

    /// The fields, to be read in the order in which they were declared.
    #[must_use]
    #[inline]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self.bytes())
    }

    /// The key as it is stored.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The record that goes with this one of a queue, if there is such a table.
    #[inline]
    pub(crate) fn companion(&self) -> Option<Self> {
        self.table.companion().map(|table| Self { table, ..*self })
    }

    /// The record of a queue that this one goes with.
    #[inline]
    pub(crate) fn queue(&self) -> Option<Self> {
        self.table.queue().map(|table| Self { table, ..*self })
    }

    /// Eight bytes from there on, as a number whose order is theirs.
    #[inline]
    fn word(&self, at: usize) -> u64 {
        self.bytes[at..].first_chunk().map_or(0, |word| u64::from_be_bytes(*word))
    }

    /// What is beyond the last whole word of the longest key.
    #[inline]
    fn end(&self) -> u16 {
        self.bytes.last_chunk().map_or(0, |end| u16::from_be_bytes(*end))
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let is_same = |at| self.word(at) == other.word(at);
        self.table == other.table && is_same(0) && is_same(8) && is_same(16) && is_same(24) && self.end() == other.end()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By words, since what follows the last field is zero and keys of a table have one length.
impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let word = |at| self.word(at).cmp(&other.word(at));
        let end = || self.end().cmp(&other.end());
        self.table
            .cmp(&other.table)
            .then_with(|| word(0))
            .then_with(|| word(8))
            .then_with(|| word(16))
            .then_with(|| word(24))
            .then_with(end)
    }
}

/// By words as well. A quick hash spreads what differs in the low bits of a word over all others, and what differs in
/// its high bits over few: so the last word is moved down, and of the others the high half is added to the low one.
impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let len = usize::from(self.len);
        let last = |at: usize| self.word(at) >> (8 * (at + WORD - len));
        let whole = |at: usize| self.word(at) ^ (self.word(at) >> 32);
        let number = u64::from(self.table.number());
        if len <= WORD {
            return state.write_u64(last(0) ^ (number << 56));
        }
        state.write_u64(whole(0) ^ number);
        for at in [8, 16, 24] {
            if len <= at + WORD {
                return state.write_u64(last(at));
            }
            state.write_u64(whole(at));
        }
        state.write_u64(u64::from(self.end()));
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({}: ", self.table.number())?;
        self.bytes().iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
        formatter.write_str(")")
    }
}
