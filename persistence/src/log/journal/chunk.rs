//! The chunks of a group: their keys, and the header that guards each.

use crate::error::Damage;
use crate::ids::Group;
use crate::integers::{take_count, take_u32};

/// Begins the keys of `meta` records.
pub(super) const META_PREFIX: u8 = 0;
/// Begins the keys of chunks.
pub(super) const RECORD_PREFIX: u8 = 1;

/// Version, number of chunks of the group, CRC32C.
pub(crate) const HEADER_BYTES: usize = 1 + 4 + 4;
/// Header and payload; with LMDB's page header of 16 bytes it fills 64 KiB, 16 pages of 4 KiB, to the last byte.
const CHUNK_BYTES_MAX: usize = 65_536 - 16;
pub(super) const PAYLOAD_BYTES_MAX: usize = CHUNK_BYTES_MAX - HEADER_BYTES;

/// The version of the chunk format that this crate writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Where the checksum begins; what is before it is covered by it.
const CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// The key of a chunk: prefix, group, number of the chunk.
pub(super) fn record_key(group: Group, number: u32) -> [u8; 13] {
    let mut key = [RECORD_PREFIX; 13];
    key[1..9].copy_from_slice(&group.0.to_be_bytes());
    key[9..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The group and the number of the chunk with this key.
pub(super) fn parse_key(key: &[u8]) -> Option<(Group, u32)> {
    let mut rest = key.strip_prefix(&[RECORD_PREFIX])?;
    let parsed = (Group(take_count(&mut rest)?), take_u32(&mut rest)?);
    rest.is_empty().then_some(parsed)
}

/// Writes the header of a chunk whose payload is in place; its checksum.
pub(super) fn seal(key: &[u8], total: u32, chunk: &mut [u8]) -> u32 {
    assert!(chunk.len() <= CHUNK_BYTES_MAX, "a chunk fits its run of pages");
    chunk[0] = VERSION;
    chunk[1..CHECKSUM_AT].copy_from_slice(&total.to_be_bytes());
    let checksum = checksum(key, &chunk[..CHECKSUM_AT], &chunk[HEADER_BYTES..]);
    chunk[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    checksum
}

/// What a chunk says, once it is known to be whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// How many chunks the group has.
    pub(super) total: u32,
    pub(super) checksum: u32,
    pub(super) payload: &'a [u8],
}

/// Reads a chunk.
pub(super) fn open<'a>(table: &'static str, key: &[u8], chunk: &'a [u8]) -> Result<Chunk<'a>, Damage> {
    let damaged = |reason| Damage::new(table, key, reason);
    let (header, payload) =
        chunk.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("the chunk is shorter than its header"))?;
    if header[0] != VERSION {
        return Err(damaged("the version of the chunk is unknown"));
    }
    let (covered, mut rest) = header.split_at(CHECKSUM_AT);
    let checksum = checksum(key, covered, payload);
    if take_u32(&mut rest) != Some(checksum) {
        return Err(damaged("the checksum of the chunk does not match"));
    }
    let total = take_u32(&mut &covered[1..]).ok_or_else(|| damaged("the chunk is shorter than its header"))?;
    Ok(Chunk { total, checksum, payload })
}

fn checksum(key: &[u8], header: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(key), header), payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::COUNT_END;

    proptest! {
        #[test]
        fn chunks_survive_and_any_flipped_bit_is_found(
            group in 0..COUNT_END,
            number in any::<u32>(),
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let key = record_key(Group(group), number);
            prop_assert_eq!(parse_key(&key), Some((Group(group), number)));
            let mut chunk = [&[0; HEADER_BYTES][..], &payload].concat();
            let checksum = seal(&key, 3, &mut chunk);
            prop_assert_eq!(open("journal", &key, &chunk), Ok(Chunk { total: 3, checksum, payload: &payload }));
            let at = at.index(chunk.len());
            chunk[at] ^= 1 << bit;
            prop_assert!(open("journal", &key, &chunk).is_err());
        }
    }
}
