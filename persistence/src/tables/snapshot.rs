//! Reads the tables as of one moment.

use std::borrow::Cow;
use std::ops::Bound;

use bytes::Bytes;
use heed::{RoTxn, WithoutTls};

use super::Tables;
use crate::chunk::{ChunkKey, Whole};
use crate::error::{Damage, ReadError};
use crate::key::{EncodedKey, Key, Table};
use crate::record::{self, Stored};

/// The tables at one moment. To be dropped soon: pages that are freed after it was taken cannot be reused before.
pub(crate) struct Snapshot<'a> {
    tables: &'a Tables,
    txn: RoTxn<'a, WithoutTls>,
}

/// A record on the way through a table.
pub(crate) type Entry<'a> = Result<(Key, Cow<'a, [u8]>), ReadError>;

impl<'a> Snapshot<'a> {
    pub(super) fn new(tables: &'a Tables, txn: RoTxn<'a, WithoutTls>) -> Self {
        Self { tables, txn }
    }

    /// Reads a record.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        let (table, encoded) = (key.table(), key.encode());
        let Some(stored) = self.tables.database(table).get(&self.txn, &encoded)? else { return Ok(None) };
        Ok(Some(match record::read(table.name(), &encoded, stored)? {
            Stored::Value(value) => Bytes::copy_from_slice(value),
            Stored::Chunked(whole) => self.join(table, &encoded, whole)?.into(),
        }))
    }

    /// Reads the records of a table in key order.
    pub(crate) fn iterate(&self, table: Table) -> Result<impl Iterator<Item = Entry<'_>>, ReadError> {
        let everything: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);
        let entries = self.tables.database(table).range(&self.txn, &everything)?;
        Ok(entries.map(move |entry| {
            let (key, stored) = entry?;
            let parsed =
                Key::decode(table, key).ok_or_else(|| Damage::new(table.name(), key, "the key is malformed"))?;
            let value = match record::read(table.name(), key, stored)? {
                Stored::Value(value) => Cow::Borrowed(value),
                Stored::Chunked(whole) => Cow::Owned(self.join(table, &parsed.encode(), whole)?),
            };
            Ok((parsed, value))
        }))
    }

    /// Reads a value that lies in chunks. What is wrong with them is wrong with the record that they belong to.
    fn join(&self, table: Table, key: &EncodedKey, whole: Whole) -> Result<Vec<u8>, ReadError> {
        let damaged = |reason| Damage::new(table.name(), key, reason);
        let [first, last] = [0, u32::MAX].map(|number| ChunkKey::new(table, key, number));
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let mut chunks = Vec::new();
        for (number, entry) in (0..).zip(self.tables.databases.chunks.range(&self.txn, &range)?) {
            let (chunk, stored) = entry?;
            if *chunk != *ChunkKey::new(table, key, number) {
                return Err(damaged("a chunk of the value is missing").into());
            }
            let part = record::value(table.name(), chunk, stored);
            chunks.push(part.map_err(|_| damaged("a chunk of the value is damaged"))?);
        }
        if chunks.len() < whole.chunks as usize {
            return Err(damaged("a chunk of the value is missing").into());
        }
        Ok(whole.join(&chunks).ok_or_else(|| damaged("its chunks do not belong together"))?)
    }
}
