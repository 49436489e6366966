//! Writes and removes the chunks of large values, while a checkpoint is applied.

use std::io::Write;
use std::ops::Bound;

use heed::RwTxn;

use crate::key::Key;
use crate::lmdb::RawDatabase;
use crate::record;
use crate::record::{ChunkKey, VALUE_BYTES_MAX};

/// The large values of one table, gone through in the order of their keys beside the changes of the table.
///
/// It knows the next one that has chunks, and looks further only when a change comes to it: once a table if there is
/// none, so that a store without large values does not pay for them. It looks at the chunks themselves, not at the
/// record that tells of them: so what a damaged record leaves goes as well.
pub(super) struct Chunked {
    database: RawDatabase,
    next: Next,
}

/// What is known of the chunks that follow those that were passed.
enum Next {
    Unknown,
    /// The first of them has this key.
    Key(Vec<u8>),
    /// There are none in this table.
    Nothing,
}

impl Chunked {
    pub(super) fn new(database: RawDatabase) -> Self {
        Self { database, next: Next::Unknown }
    }

    /// Removes the chunks of a value, if it has some. To be called with growing keys.
    pub(super) fn remove(&mut self, txn: &mut RwTxn<'_>, key: &Key) -> heed::Result<()> {
        let first = ChunkKey::new(key, 0);
        let passed = match &self.next {
            Next::Unknown => true,
            Next::Key(next) => next[..] < first[..],
            Next::Nothing => false,
        };
        if passed {
            self.next = self.seek(txn, &first)?;
        }
        if let Next::Key(next) = &self.next
            && next.starts_with(first.owner())
        {
            let last = ChunkKey::new(key, u32::MAX);
            self.database.delete_range(txn, &(Bound::Included(&first[..]), Bound::Included(&last[..])))?;
            self.next = Next::Unknown;
        }
        Ok(())
    }

    /// Writes the chunks of a value that has none.
    pub(super) fn put(&self, txn: &mut RwTxn<'_>, key: &Key, value: &[u8]) -> heed::Result<()> {
        for (number, part) in (0..).zip(value.chunks(VALUE_BYTES_MAX)) {
            put_record(&self.database, txn, &ChunkKey::new(key, number), part)?;
        }
        Ok(())
    }

    fn seek(&self, txn: &RwTxn<'_>, from: &ChunkKey) -> heed::Result<Next> {
        Ok(match self.database.get_greater_than_or_equal_to(txn, from)? {
            Some((found, _)) if found.first() == from.first() => Next::Key(found.to_vec()),
            _ => Next::Nothing,
        })
    }
}

/// Writes a record that holds its value.
pub(super) fn put_record(database: &RawDatabase, txn: &mut RwTxn<'_>, key: &[u8], value: &[u8]) -> heed::Result<()> {
    let header = record::header(key, value);
    database.put_reserved(txn, key, header.len() + value.len(), |space| {
        space.write_all(&header)?;
        space.write_all(value)
    })
}
