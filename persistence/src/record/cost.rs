//! What records cost beyond their values, in every account of bytes.

use super::whole::VALUE_BYTES_MAX;

/// What a change costs beyond its value: its key, and its entry in memory and on a page.
pub(crate) const CHANGE_BYTES: usize = 64;
/// The page that a chunk takes.
const PAGE_BYTES: usize = 4096;
/// The entry of a chunk in a leaf: 57 bytes at most, in leaves that may be half empty.
const ENTRY_BYTES: usize = 128;

/// About what a record with a value of so many bytes takes in a store: with its key, and in chunks where it is large.
/// For a [`Class::Turn`](crate::Class::Turn), which says by how much it grows the store.
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

#[cfg(test)]
mod tests {
    use super::*;

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
