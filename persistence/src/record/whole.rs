//! Large values: how one is cut into chunks, and what is kept of the whole. Pure.
//!
//! A record that takes a run of pages needs one that is contiguous, and a map that was full of other things may have
//! none although most of it is free. So nothing in the tables takes more than one page: any free page will do.

use super::header::HEADER_BYTES;
use crate::integers::take_u32;

/// A record and its header. It fits one page of 4 KiB behind LMDB's page header; and as an entry of a leaf, with the
/// longest key, twice into one of 8 KiB, four times into one of 16 KiB, and so on.
const RECORD_BYTES_MAX: usize = 4032;
/// The longest value that is one record, and what all chunks of a longer one hold but the last.
pub(crate) const VALUE_BYTES_MAX: usize = RECORD_BYTES_MAX - HEADER_BYTES;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    }
}
