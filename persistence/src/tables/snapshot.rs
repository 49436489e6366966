//! Reads the tables as of one moment.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use heed::{RoTxn, WithoutTls};

use super::databases::{META, Tables};
use crate::error::{Damage, ReadError};
use crate::key::Key;
use crate::meta::{self, Applied, Meta};
use crate::range::Range;
use crate::record::{self, Stored};
use crate::record::{ChunkKey, Whole};
use crate::table::TableId;

/// The tables at one moment. To be dropped soon: pages that are freed after it was taken cannot be reused before.
pub(crate) struct Snapshot<'a> {
    tables: &'a Tables,
    txn: RoTxn<'a, WithoutTls>,
}

/// Records of a table, one after another.
pub(crate) type Entries<'s> = Box<dyn Iterator<Item = Result<(Key, &'s [u8]), ReadError>> + 's>;

impl Tables {
    /// The tables as they are now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, ReadError> {
        Ok(Snapshot { tables: self, txn: self.env.read_txn()? })
    }
}

impl Snapshot<'_> {
    /// How far the tables are.
    pub(crate) fn applied(&self) -> Result<Applied, ReadError> {
        let key = meta::APPLIED.as_bytes();
        let stored = self.tables.databases.meta.get(&self.txn, key)?;
        // Older formats had none before the first checkpoint.
        Ok(stored.map_or_else(|| Ok(Applied::default()), |stored| Applied::decode(META, key, stored))?)
    }

    /// Reads a record.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        let Some(stored) = self.find(key)? else { return Ok(None) };
        Ok(Some(self.value(key, self.checked(key, stored)?)?.into_owned().into()))
    }

    /// Reads a record, unless `admit` refuses it by its size; asked before it is copied.
    pub(crate) fn get_if(
        &self,
        key: &Key,
        admit: impl FnOnce(usize) -> bool,
    ) -> Result<ControlFlow<(), Option<Bytes>>, ReadError> {
        let Some(stored) = self.find(key)? else { return Ok(ControlFlow::Continue(None)) };
        let stored = self.checked(key, stored)?;
        if !admit(stored.value_bytes()) {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(Some(self.value(key, stored)?.into_owned().into())))
    }

    /// The records of a range; what is stored there is for [`checked`](Self::checked) to read.
    pub(crate) fn range(&self, range: &Range) -> Result<Entries<'_>, ReadError> {
        let Some(database) = self.tables.database(range.table().id()) else { return Ok(Box::new(std::iter::empty())) };
        let (least, greatest) = range.bounds();
        let bounds = (least.as_ref().map(Key::bytes), greatest.as_ref().map(Key::bytes));
        let table = self.tables.schema.table(range.table().id());
        let read = move |entry: heed::Result<_>| {
            let (key, stored) = entry?;
            let parsed =
                Key::decode(table, key).ok_or_else(|| Damage::new(table.name(), key, "the key is malformed"))?;
            Ok((parsed, stored))
        };
        Ok(if range.is_backwards() {
            Box::new(database.rev_range(&self.txn, &bounds)?.map(read))
        } else {
            Box::new(database.range(&self.txn, &bounds)?.map(read))
        })
    }

    /// What is stored of a record, once its checksum was looked at.
    pub(crate) fn checked<'s>(&self, key: &Key, stored: &'s [u8]) -> Result<Stored<'s>, ReadError> {
        Ok(record::read(self.name(key.table()), key.bytes(), stored)?)
    }

    /// The value of a record.
    pub(crate) fn value<'s>(&self, key: &Key, stored: Stored<'s>) -> Result<Cow<'s, [u8]>, ReadError> {
        Ok(match stored {
            Stored::Value(value) => Cow::Borrowed(value),
            Stored::Chunked(whole) => Cow::Owned(self.join(key, whole)?),
        })
    }

    fn find(&self, key: &Key) -> Result<Option<&[u8]>, ReadError> {
        let Some(database) = self.tables.database(key.table()) else { return Ok(None) };
        Ok(database.get(&self.txn, key.bytes())?)
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
