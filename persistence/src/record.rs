//! The header of every record in the tables and of every `meta` record: a version and a checksum, so that what is
//! read is what was written.

use crate::error::Damage;

/// The version of the record format that this crate writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Version and CRC32C.
pub(crate) const HEADER_BYTES: usize = 1 + 4;

/// The header of the record; the value follows it. The checksum covers key and value, so that a record under another
/// key is damaged too.
pub(crate) fn header(key: &[u8], value: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [VERSION, 0, 0, 0, 0];
    header[1..].copy_from_slice(&checksum(key, value).to_be_bytes());
    header
}

/// Header and value in one vector; for small records.
pub(crate) fn encode(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&header(key, value), value].concat()
}

/// The value of a stored record.
pub(crate) fn value<'a>(table: &'static str, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Damage> {
    let (header, value) = stored
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| Damage::new(table, key, "it is shorter than its header"))?;
    let [version, checksum @ ..] = header;
    if *version != VERSION {
        return Err(Damage::new(table, key, "its version is unknown"));
    }
    if u32::from_be_bytes(*checksum) != self::checksum(key, value) {
        return Err(Damage::new(table, key, "its checksum does not match"));
    }
    Ok(value)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_survive_and_any_flipped_bit_is_found(
            key in proptest::collection::vec(any::<u8>(), 1..40),
            stored in proptest::collection::vec(any::<u8>(), 0..100),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let mut record = encode(&key, &stored);
            prop_assert_eq!(value("inbox", &key, &record), Ok(&stored[..]));
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(value("inbox", &key, &record).is_err());
        }

        #[test]
        fn no_bytes_make_reading_panic(stored in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = value("inbox", b"key", &stored);
        }
    }
}
