//! The keys of the chunks of large values.

use std::ops::Deref;

use crate::key::Key;
use crate::table::KEY_BYTES_MAX;

/// The encoded key of a chunk, on the stack: table, key of the record, number of the chunk.
#[derive(Clone, Copy)]
pub(crate) struct ChunkKey {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl ChunkKey {
    const BYTES_MAX: usize = 1 + KEY_BYTES_MAX + 4;

    pub(crate) fn new(key: &Key, number: u32) -> Self {
        let (table, key) = (key.table(), key.bytes());
        let mut bytes = [0; Self::BYTES_MAX];
        let owner = 1 + key.len();
        bytes[0] = table.number();
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
        fn chunks_sort_by_table_then_key_then_number(
            (a, b) in (any_key(), any_key()),
            (n, m) in any::<(u32, u32)>(),
        ) {
            let (a_key, b_key) = (ChunkKey::new(&a, n), ChunkKey::new(&b, m));
            let order = (a, n).cmp(&(b, m));
            prop_assert_eq!(a_key.cmp(&b_key), order);
            prop_assert_eq!(a == b, a_key.starts_with(b_key.owner()));
        }
    }
}
