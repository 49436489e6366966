//! Small values in shared memory of about their size.

use bytes::Bytes;

/// A small value in one piece of memory together with its reference count, which `Bytes` otherwise allocates separately
/// when a value is first cloned.
struct Inline<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> AsRef<[u8]> for Inline<ROOM> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Copies `value` into memory that its clones share: one allocation, with at most 63 bytes to spare.
#[must_use]
pub fn compact(value: &[u8]) -> Bytes {
    match value.len().div_ceil(64) {
        0 => Bytes::new(),
        1 => inline::<64>(value),
        2 => inline::<128>(value),
        3 => inline::<192>(value),
        4 => inline::<256>(value),
        5 => inline::<320>(value),
        6 => inline::<384>(value),
        7 => inline::<448>(value),
        8 => inline::<512>(value),
        // A second allocation is little beside so many bytes.
        _ => Bytes::copy_from_slice(value),
    }
}

fn inline<const ROOM: usize>(value: &[u8]) -> Bytes {
    let mut bytes = [0; ROOM];
    bytes[..value.len()].copy_from_slice(value);
    Bytes::from_owner(Inline { bytes, len: value.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_size_are_kept() {
        for len in 0..600 {
            let value: Vec<u8> = (0..len).map(|byte| (byte % 251) as u8).collect();
            assert_eq!(compact(&value), value);
        }
    }
}
