//! The header of every record in the tables and of every `meta` record: a version and a checksum, so that what is
//! read is what was written.

use crate::error::Damage;

/// The version of a record that holds its value.
pub(super) const VERSION: u8 = 1;
/// The version of a record whose value lies in chunks.
pub(super) const VERSION_CHUNKED: u8 = 2;
/// Version and CRC32C.
pub(crate) const HEADER_BYTES: usize = 1 + 4;

/// The header of the record; the value follows it. The checksum covers key and value, so that a record under another
/// key is damaged too.
pub(crate) fn header(key: &[u8], value: &[u8]) -> [u8; HEADER_BYTES] {
    header_of(VERSION, key, value)
}

pub(super) fn header_of(version: u8, key: &[u8], rest: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [version, 0, 0, 0, 0];
    header[1..].copy_from_slice(&checksum(key, rest).to_be_bytes());
    header
}

/// The version of a record, and what follows the header, checked.
pub(super) fn open<'a>(table: &'static str, key: &[u8], stored: &'a [u8]) -> Result<(u8, &'a [u8]), Damage> {
    let (header, rest) = stored
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| Damage::new(table, key, "it is shorter than its header"))?;
    let [version, checksum @ ..] = header;
    // Before the checksum, which another version may compute in another way.
    if !matches!(*version, VERSION | VERSION_CHUNKED) {
        return Err(Damage::new(table, key, "its version is unknown"));
    }
    if u32::from_be_bytes(*checksum) != self::checksum(key, rest) {
        return Err(Damage::new(table, key, "its checksum does not match"));
    }
    Ok((*version, rest))
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}
