//! The tables: the facts of the journal, materialized, with the number of the last group that they include.
//!
//! Written by the checkpointer alone, in one transaction per checkpoint; read by anyone, in short snapshots.

mod apply;
mod chunks;
mod open;
mod snapshot;

use std::fs::File;

use heed::{RoTxn, RwTxn, WithoutTls};

pub(crate) use self::snapshot::Snapshot;
use crate::env::{Env, RawDatabase};
use crate::error::{CommitError, Environment, OpenError, ReadError};
use crate::key::Table;
use crate::meta::{self, Applied, Identity, Meta};

/// The database of the records about the store itself, and what damage in it is reported under.
const META: &str = "meta";
/// The database of the chunks of large values, of all tables.
const CHUNKS: &str = "chunks";

/// The open tables. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    env: Env,
    databases: Databases,
}

/// `None` is what tables of an older format lack, if they were opened to be read.
#[derive(Debug, Clone, Copy)]
struct Databases {
    meta: RawDatabase,
    tables: [Option<RawDatabase>; Table::ALL.len()],
    chunks: Option<RawDatabase>,
}

impl Tables {
    /// The file with the data, as it is open.
    pub(crate) fn file(&self) -> heed::Result<File> {
        self.env.try_clone_inner_file()
    }

    /// The format of the tables; `None` in new ones. Refuses one that this crate does not read.
    pub(crate) fn format(&self) -> Result<Option<u32>, OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        format(self.databases.meta.get(&txn, meta::FORMAT.as_bytes()))
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
    fn initialize(&self, identity: Identity) -> Result<(), CommitError> {
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_format(&mut txn)?;
            let store = meta::STORE.as_bytes();
            self.databases.meta.put(&mut txn, store, &identity.encode(store))?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Marks tables of an older format as of that of this crate. Records stay as they are, since older versions of them are
    /// read; databases that were added since were made when the tables were opened.
    pub(crate) fn raise_format(&self) -> Result<(), OpenError> {
        if self.format()? == Some(meta::FORMAT_VERSION) {
            return Ok(());
        }
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_format(&mut txn)?;
            txn.commit()
        };
        Ok(write().map_err(|error| self.failed(error))?)
    }

    /// How far the tables are.
    pub(crate) fn applied(&self) -> Result<Applied, OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        Ok(self.meta(&txn, meta::APPLIED)?.unwrap_or_default())
    }

    /// The tables as they are now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, ReadError> {
        Ok(Snapshot::new(self, self.env.read_txn()?))
    }

    /// Bytes of the pages in use. Looks at each tree: for a checkpoint, not for a submission.
    pub(crate) fn used_bytes(&self) -> heed::Result<u64> {
        let txn = self.env.read_txn()?;
        let mut used = self.env.unnamed_database_stat().non_free_page_size();
        let Databases { meta, tables, chunks } = &self.databases;
        for database in tables.iter().chain([chunks]).flatten().chain([meta]) {
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

    fn database(&self, table: Table) -> Option<&RawDatabase> {
        self.databases.tables[table as usize].as_ref()
    }

    fn put_format(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        self.databases.meta.put(txn, meta::FORMAT.as_bytes(), &meta::FORMAT_VERSION.to_be_bytes())
    }

    fn failed(&self, error: heed::Error) -> CommitError {
        CommitError::new(Environment::Tables, self.env.path(), error)
    }

    fn meta<M: Meta>(&self, txn: &RoTxn<'_, WithoutTls>, name: &str) -> Result<Option<M>, OpenError> {
        let stored = self.databases.meta.get(txn, name.as_bytes()).map_err(storage)?;
        Ok(stored.map(|stored| M::decode(META, name.as_bytes(), stored)).transpose()?)
    }
}

/// The format that was read; `None` in new tables. Refuses one that this crate does not read.
fn format(stored: heed::Result<Option<&[u8]>>) -> Result<Option<u32>, OpenError> {
    let read = |stored| meta::format(Environment::Tables, META, meta::FORMAT.as_bytes(), stored);
    stored.map_err(storage)?.map(read).transpose()
}

fn storage(error: heed::Error) -> OpenError {
    OpenError::storage(Environment::Tables, &error)
}
