//! Reads the tables as of one moment.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use heed::{RoTxn, WithoutTls};

use super::databases::Tables;
use crate::error::{Damage, ReadError};
use crate::key::Key;
use crate::record::{self, Stored};
use crate::record::{ChunkKey, Whole};
use crate::table::TableId;

/// The tables at one moment. To be dropped soon: pages that are freed after it was taken cannot be reused before.
pub(crate) struct Snapshot<'a> {
    tables: &'a Tables,
    txn: RoTxn<'a, WithoutTls>,
}

impl Tables {
    /// The tables as they are now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, ReadError> {
        Ok(Snapshot { tables: self, txn: self.env.read_txn()? })
    }
}

impl Snapshot<'_> {
    /// Reads a record.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        let Some(database) = self.tables.database(key.table()) else { return Ok(None) };
        let stored = database.get(&self.txn, key.bytes())?;
        stored.map(|stored| Ok(self.value(key, stored)?.into_owned().into())).transpose()
    }

    /// Reads a record, unless `admit` refuses it by its size; asked before it is copied.
    pub(crate) fn get_if(
        &self,
        key: &Key,
        admit: impl FnOnce(usize) -> bool,
    ) -> Result<ControlFlow<(), Option<Bytes>>, ReadError> {
        let Some(database) = self.tables.database(key.table()) else { return Ok(ControlFlow::Continue(None)) };
        let name = self.name(key.table());
        let Some(stored) = database.get(&self.txn, key.bytes())? else { return Ok(ControlFlow::Continue(None)) };
        let stored = record::read(name, key.bytes(), stored)?;
        let bytes = match &stored {
            Stored::Value(value) => value.len(),
            Stored::Chunked(whole) => whole.length as usize,
        };
        if !admit(bytes) {
            return Ok(ControlFlow::Break(()));
        }
        let value = match stored {
            Stored::Value(value) => value.to_vec(),
            Stored::Chunked(whole) => self.join(key, whole)?,
        };
        Ok(ControlFlow::Continue(Some(value.into())))
    }

    /// The records of a table in key order; what is stored there is for [`value`](Self::value) to read.
    pub(crate) fn iterate(
        &self,
        table: TableId,
    ) -> Result<impl Iterator<Item = Result<(Key, &[u8]), ReadError>>, ReadError> {
        let everything: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);
        let entries = self.tables.database(table).map(|database| database.range(&self.txn, &everything)).transpose()?;
        let table = self.tables.schema.table(table);
        Ok(entries.into_iter().flatten().map(move |entry| {
            let (key, stored) = entry?;
            let parsed =
                Key::decode(table, key).ok_or_else(|| Damage::new(table.name(), key, "the key is malformed"))?;
            Ok((parsed, stored))
        }))
    }

    /// The value of a record, from what is stored in its table.
    pub(crate) fn value<'s>(&self, key: &Key, stored: &'s [u8]) -> Result<Cow<'s, [u8]>, ReadError> {
        Ok(match record::read(self.name(key.table()), key.bytes(), stored)? {
            Stored::Value(value) => Cow::Borrowed(value),
            Stored::Chunked(whole) => Cow::Owned(self.join(key, whole)?),
        })
    }

    /// Reads a value that lies in chunks. What is wrong with them is wrong with the record that they belong to.
    fn join(&self, key: &Key, whole: Whole) -> Result<Vec<u8>, ReadError> {
        let name = self.name(key.table());
        let damaged = |reason| Damage::new(name, key.bytes(), reason);
        let [first, last] = [0, u32::MAX].map(|number| ChunkKey::new(key, number));
        let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let mut chunks = Vec::new();
        let entries = self.tables.databases.chunks.map(|chunks| chunks.range(&self.txn, &range)).transpose()?;
        for (number, entry) in (0..).zip(entries.into_iter().flatten()) {
            let (chunk, stored) = entry?;
            if *chunk != *ChunkKey::new(key, number) {
                return Err(damaged("a chunk of the value is missing").into());
            }
            let part = record::value(name, chunk, stored);
            chunks.push(part.map_err(|_| damaged("a chunk of the value is damaged"))?);
        }
        if chunks.len() < whole.chunks as usize {
            return Err(damaged("a chunk of the value is missing").into());
        }
        Ok(whole.join(&chunks).ok_or_else(|| damaged("its chunks do not belong together"))?)
    }

    /// What damage in a table is reported under.
    fn name(&self, table: TableId) -> &'static str {
        self.tables.schema.table(table).name()
    }
}
