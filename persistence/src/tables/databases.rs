//! The databases of the tables, and the records about the store itself among them.

use std::fs::File;
use std::sync::Arc;

use heed::{RoTxn, RwTxn, WithoutTls};

use super::sums::{Place, Sum, Sums};
use crate::error::{CommitError, Damage, Environment, OpenError};
use crate::format::FORMAT_SUMS;
use crate::lmdb::{Env, RawDatabase};
use crate::meta::{self, Applied, Identity, Meta};
use crate::record;
use crate::table::{Schema, TableId};

/// The database of the records about the store itself, and what damage in it is reported under.
pub(super) const META: &str = "meta";
pub(super) const WRITTEN: &str = "all databases are made when the tables are opened to be written";
/// The database of the chunks of large values, of all tables.
pub(super) const CHUNKS: &str = "chunks";
/// The database of what the tables hold, as a whole.
pub(super) const SUMS: &str = "sums";

/// The open tables. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(super) env: Env,
    pub(super) schema: Schema,
    pub(super) databases: Arc<Databases>,
}

/// `None` is what tables of an older format lack, if they were opened to be read.
#[derive(Debug)]
pub(super) struct Databases {
    pub(super) meta: RawDatabase,
    /// By number.
    pub(super) tables: Box<[Option<RawDatabase>]>,
    pub(super) chunks: Option<RawDatabase>,
    pub(super) sums: Option<RawDatabase>,
}

impl Tables {
    /// The file with the data, as it is open.
    pub(crate) fn file(&self) -> heed::Result<File> {
        self.env.try_clone_inner_file()
    }

    /// The format of the tables; `None` in new ones. Refuses one that this crate does not read.
    pub(crate) fn format(&self) -> Result<Option<u32>, OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        format(self.databases.meta.get(&txn, meta::FORMAT.as_bytes()), self.schema.format())
    }

    /// What the store is; `None` in new tables. Refuses another format.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, OpenError> {
        if self.format()?.is_none() {
            return Ok(None);
        }
        let txn = self.env.read_txn().map_err(storage)?;
        let identity = self.meta(&txn, meta::STORE)?;
        identity.ok_or(OpenError::Missing { environment: Environment::Tables }).map(Some)
    }

    /// Writes what a new store starts with.
    pub(super) fn initialize(&self, identity: Identity) -> Result<(), CommitError> {
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_format(&mut txn)?;
            let store = meta::STORE.as_bytes();
            self.databases.meta.put(&mut txn, store, &identity.encode(store))?;
            self.put_applied(&mut txn, Applied::default())?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Marks tables of an older format as of that of this crate. Records stay as they are, since older versions of them
    /// are read; databases that were added since were made when the tables were opened. `sums` are those of what is in
    /// them.
    pub(crate) fn raise_format(&self, sums: &Sums) -> Result<(), OpenError> {
        if self.format()? == Some(self.schema.format()) {
            return Ok(());
        }
        let applied = self.applied()?;
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_format(&mut txn)?;
            self.put_applied(&mut txn, applied)?;
            for (place, sum) in sums.iter() {
                self.put_sum(&mut txn, place, sum)?;
            }
            txn.commit()
        };
        Ok(write().map_err(|error| self.failed(error))?)
    }

    /// How far the tables are.
    pub(crate) fn applied(&self) -> Result<Applied, OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        match self.meta(&txn, meta::APPLIED)? {
            Some(applied) => Ok(applied),
            // Older formats had none before the first checkpoint.
            None if self.format()? < Some(FORMAT_SUMS) => Ok(Applied::default()),
            None => Err(Damage::new(META, meta::APPLIED.as_bytes(), "it is not there").into()),
        }
    }

    /// Refuses a record about the store that nobody has written: one that is missed is under such a name.
    pub(super) fn check_names(&self) -> Result<(), OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        for entry in self.databases.meta.iter(&txn).map_err(storage)? {
            let (key, _) = entry.map_err(storage)?;
            if !meta::IN_TABLES.iter().any(|name| *key == *name.as_bytes()) {
                return Err(Damage::new(META, key, "no record has this name").into());
            }
        }
        Ok(())
    }

    /// What was noted of the tables with the last checkpoint.
    pub(super) fn sums(&self) -> Result<Sums, OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        let mut sums = Sums::default();
        let database = self.databases.sums.expect(WRITTEN);
        for entry in database.iter(&txn).map_err(storage)? {
            let (key, stored) = entry.map_err(storage)?;
            let value = record::value(SUMS, key, stored)?;
            sums.insert(&self.schema, key, value).ok_or_else(|| Damage::new(SUMS, key, "it is of no table"))?;
        }
        Ok(sums)
    }

    /// Bytes of the pages in use. Looks at each tree: for a checkpoint, not for a submission.
    pub(crate) fn used_bytes(&self) -> heed::Result<u64> {
        let txn = self.env.read_txn()?;
        let mut used = self.env.unnamed_database_stat().non_free_page_size();
        let Databases { meta, tables, chunks, sums } = &*self.databases;
        for database in tables.iter().chain([chunks, sums]).flatten().chain([meta]) {
            used += database.stat(&txn)?.non_free_page_size();
        }
        Ok(used as u64)
    }

    /// How many chunks there are, needed or not.
    #[cfg(test)]
    pub(crate) fn chunks(&self) -> u64 {
        self.databases.chunks.unwrap().len(&self.env.read_txn().unwrap()).unwrap()
    }

    /// Frees the reader slots of processes that are gone.
    pub(crate) fn clear_stale_readers(&self) {
        // A slot that stays only costs pages, until the next time.
        let _ = self.env.clear_stale_readers();
    }

    /// Waits until every handle and snapshot is gone, and with them the files are closed.
    pub(crate) fn close(self) {
        self.env.prepare_for_closing().wait();
    }

    /// The database of a table; `None` if the store is of an older format, and opened to be read.
    ///
    /// # Panics
    ///
    /// If the store was opened without this table.
    pub(super) fn database(&self, table: TableId) -> Option<&RawDatabase> {
        self.schema.table(table);
        self.databases.tables[usize::from(table.number())].as_ref()
    }

    fn put_format(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        self.databases.meta.put(txn, meta::FORMAT.as_bytes(), &self.schema.format().to_be_bytes())
    }

    pub(super) fn put_applied(&self, txn: &mut RwTxn<'_>, applied: Applied) -> heed::Result<()> {
        let key = meta::APPLIED.as_bytes();
        self.databases.meta.put(txn, key, &applied.encode(key))
    }

    /// Notes what a table holds in a partition.
    pub(super) fn put_sum(&self, txn: &mut RwTxn<'_>, place: Place, sum: Sum) -> heed::Result<()> {
        let (database, key) = (self.databases.sums.expect(WRITTEN), place.encode());
        if sum.is_nothing() {
            return database.delete(txn, &key).map(drop);
        }
        database.put(txn, &key, &record::encode(&key, &sum.encode()))
    }

    pub(super) fn failed(&self, error: heed::Error) -> CommitError {
        CommitError::new(Environment::Tables, self.env.path(), error)
    }

    fn meta<M: Meta>(&self, txn: &RoTxn<'_, WithoutTls>, name: &str) -> Result<Option<M>, OpenError> {
        let stored = self.databases.meta.get(txn, name.as_bytes()).map_err(storage)?;
        Ok(stored.map(|stored| M::decode(META, name.as_bytes(), stored)).transpose()?)
    }
}

/// The format that was read; `None` in new tables. Refuses one that this crate does not read.
fn format(stored: heed::Result<Option<&[u8]>>, supported: u32) -> Result<Option<u32>, OpenError> {
    let read = |stored| meta::format(Environment::Tables, META, meta::FORMAT.as_bytes(), stored, supported);
    stored.map_err(storage)?.map(read).transpose()
}

pub(super) fn storage(error: heed::Error) -> OpenError {
    OpenError::storage(Environment::Tables, &error)
}
