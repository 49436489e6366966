//! Large values: how one is cut into chunks, what is kept of the whole, and what that costs. Pure.
//!
//! A record that takes a run of pages needs one that is contiguous, and a map that was full of other things may have
//! none although most of it is free. So nothing in the tables takes more than one page: any free page will do.

use std::ops::Deref;

use crate::key::{EncodedKey, KEY_BYTES_MAX, Table, take_u32};
use crate::queue::CHANGE_BYTES;
use crate::record;

/// A record and its header. It fits one page of 4 KiB behind LMDB's page header; and as an entry of a leaf, with the
/// longest key, twice into one of 8 KiB, four times into one of 16 KiB, and so on.
const RECORD_BYTES_MAX: usize = 4032;
/// The longest value that is one record, and what all chunks of a longer one hold but the last.
pub(crate) const VALUE_BYTES_MAX: usize = RECORD_BYTES_MAX - record::HEADER_BYTES;

/// The page that a chunk takes.
const PAGE_BYTES: usize = 4096;
/// The entry of a chunk in a leaf: 57 bytes at most, in leaves that may be half empty.
const ENTRY_BYTES: usize = 128;

/// What the record of a large value says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Bytes of the value.
    pub(crate) length: u32,
    /// How many chunks it has.
    pub(crate) chunks: u32,
    /// CRC32C of the value. Each chunk has its own; this tells whether they belong together.
    pub(crate) checksum: u32,
}

/// The encoded key of a chunk, on the stack: table, key of the record, number of the chunk.
#[derive(Clone, Copy)]
pub(crate) struct ChunkKey {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

/// About what a record with a value of so many bytes takes in a store: with its key, and in chunks where it is large. For a
/// [`Class::Turn`](crate::Class::Turn), which says by how much it grows the store.
#[must_use]
pub const fn footprint(value_bytes: usize) -> usize {
    CHANGE_BYTES + value_bytes + overhead(value_bytes)
}

/// What a value takes in the tables beyond its bytes, if it is cut into chunks.
pub(crate) const fn overhead(length: usize) -> usize {
    if length <= VALUE_BYTES_MAX {
        return 0;
    }
    // The chunks lie apart from the record, so another leaf is touched too.
    length.div_ceil(VALUE_BYTES_MAX) * (PAGE_BYTES + ENTRY_BYTES) + PAGE_BYTES - length
}

impl Whole {
    pub(crate) const BYTES: usize = 4 + 4 + 4;

    pub(crate) fn of(value: &[u8]) -> Self {
        let within = |count: usize| u32::try_from(count).expect("a value is below 4 GiB: checked in `Stage`");
        let chunks = value.len().div_ceil(VALUE_BYTES_MAX);
        Self { length: within(value.len()), chunks: within(chunks), checksum: crc32c::crc32c(value) }
    }

    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (field, number) in bytes.chunks_exact_mut(4).zip([self.length, self.chunks, self.checksum]) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let (length, chunks, checksum) = (take_u32(&mut rest)?, take_u32(&mut rest)?, take_u32(&mut rest)?);
        rest.is_empty().then_some(Self { length, chunks, checksum })
    }

    /// Joins the chunks, which were checked one by one; `None` if they are not those of this value.
    pub(crate) fn join(self, chunks: &[&[u8]]) -> Option<Vec<u8>> {
        let value = chunks.concat();
        let is_whole = chunks.len() == self.chunks as usize
            && value.len() == self.length as usize
            && crc32c::crc32c(&value) == self.checksum;
        is_whole.then_some(value)
    }
}

impl ChunkKey {
    const BYTES_MAX: usize = 1 + KEY_BYTES_MAX + 4;

    pub(crate) fn new(table: Table, key: &EncodedKey, number: u32) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        let owner = 1 + key.len();
        bytes[0] = table.tag();
        bytes[1..owner].copy_from_slice(key);
        bytes[owner..owner + 4].copy_from_slice(&number.to_be_bytes());
        Self { bytes, len: owner + 4 }
    }

    /// What the keys of all chunks of the value begin with, and no other.
    pub(crate) fn owner(&self) -> &[u8] {
        &self.bytes[..self.len - 4]
    }
}

impl Deref for ChunkKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::any_key;

    proptest! {
        #[test]
        fn values_survive_cutting_and_only_their_own_chunks_join(
            length in VALUE_BYTES_MAX + 1..5 * VALUE_BYTES_MAX,
            at in any::<prop::sample::Index>(),
        ) {
            let value: Vec<u8> = (0..length).map(|index| (index / 7) as u8).collect();
            let whole = Whole::of(&value);
            prop_assert_eq!(Whole::decode(&whole.encode()), Some(whole));
            let chunks: Vec<&[u8]> = value.chunks(VALUE_BYTES_MAX).collect();
            prop_assert_eq!(whole.join(&chunks), Some(value.clone()));
            let mut lost = chunks.clone();
            lost.remove(at.index(lost.len()));
            prop_assert_eq!(whole.join(&lost), None);
            let mut changed = value.clone();
            changed[at.index(length)] ^= 1;
            let mut stale = chunks.clone();
            let which = at.index(length) / VALUE_BYTES_MAX;
            stale[which] = changed.chunks(VALUE_BYTES_MAX).nth(which).unwrap();
            prop_assert_eq!(whole.join(&stale), None);
        }

        #[test]
        fn chunks_sort_by_table_then_key_then_number(a in any_key(), b in any_key(), n in any::<u32>(), m in any::<u32>()) {
            let (a_key, b_key) = (ChunkKey::new(a.table(), &a.encode(), n), ChunkKey::new(b.table(), &b.encode(), m));
            let order = (a.table().tag(), a, n).cmp(&(b.table().tag(), b, m));
            prop_assert_eq!(a_key.cmp(&b_key), order);
            prop_assert_eq!(a == b, a_key.starts_with(b_key.owner()));
        }
    }

    #[test]
    fn a_value_costs_its_pages() {
        assert_eq!(overhead(VALUE_BYTES_MAX), 0);
        for length in [VALUE_BYTES_MAX + 1, 2 * VALUE_BYTES_MAX, 2 * VALUE_BYTES_MAX + 1, 16 << 20] {
            let pages = length.div_ceil(VALUE_BYTES_MAX) + 1;
            assert!(length + overhead(length) >= pages * PAGE_BYTES, "{length}");
        }
        assert!(overhead(16 << 20) < (16 << 20) / 19, "about a twentieth");
    }
}
