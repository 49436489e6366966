//! A record as it is stored: its header, then its value, or what says of a large value where that lies.

use super::header::{VERSION, VERSION_CHUNKED, header, header_of, open};
use super::whole::Whole;
use crate::error::Damage;

/// What a record of a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    Value(&'a [u8]),
    Chunked(Whole),
}

impl Stored<'_> {
    /// Bytes of the value.
    pub(crate) const fn value_bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.len(),
            Self::Chunked(whole) => whole.length as usize,
        }
    }
}

/// Header and value in one vector; for small records.
pub(crate) fn encode(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&header(key, value), value].concat()
}

/// The record of a value that lies in chunks.
pub(crate) fn encode_chunked(key: &[u8], whole: Whole) -> Vec<u8> {
    let whole = whole.encode();
    [&header_of(VERSION_CHUNKED, key, &whole)[..], &whole].concat()
}

/// The value of a stored record that holds it.
pub(crate) fn value<'a>(table: &'static str, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Damage> {
    match open(table, key, stored)? {
        (VERSION, value) => Ok(value),
        _ => Err(Damage::new(table, key, "its version is unknown")),
    }
}

/// What a stored record of a table holds.
pub(crate) fn read<'a>(table: &'static str, key: &[u8], stored: &'a [u8]) -> Result<Stored<'a>, Damage> {
    match open(table, key, stored)? {
        (VERSION, value) => Ok(Stored::Value(value)),
        (VERSION_CHUNKED, whole) => {
            let whole = Whole::decode(whole).ok_or_else(|| Damage::new(table, key, "its length does not fit"))?;
            Ok(Stored::Chunked(whole))
        }
        _ => Err(Damage::new(table, key, "its version is unknown")),
    }
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
            prop_assert_eq!(read("inbox", &key, &record), Ok(Stored::Value(&stored)));
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(value("inbox", &key, &record).is_err());
            prop_assert!(read("inbox", &key, &record).is_err());
        }

        #[test]
        fn chunked_records_survive_and_any_flipped_bit_is_found(
            key in proptest::collection::vec(any::<u8>(), 1..40),
            (length, chunks, checksum) in any::<(u32, u32, u32)>(),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let whole = Whole { length, chunks, checksum };
            let mut record = encode_chunked(&key, whole);
            prop_assert_eq!(read("inbox", &key, &record), Ok(Stored::Chunked(whole)));
            prop_assert!(value("meta", &key, &record).is_err(), "only tables have such records");
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(read("inbox", &key, &record).is_err());
        }

        #[test]
        fn no_bytes_make_reading_panic(stored in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = value("inbox", b"key", &stored);
            let _ = read("inbox", b"key", &stored);
        }
    }
}
