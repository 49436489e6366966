//! Opens the tables, to be written or to be read, and makes those of a new store.

use std::convert::Infallible;
use std::path::Path;

use heed::CommitOrAbort;

use super::databases::{CHUNKS, Databases, META, SUMS, Tables, storage};
use super::sums::Sums;
use crate::error::{Damage, Environment, OpenError};
use crate::lmdb::{self, Env, Settings};
use crate::meta::{self, Identity};
use crate::reach::Reach;
use crate::table::Table;

/// One for each table, `meta`, `chunks`, and `sums`.
const DATABASES: u32 = 3 + Table::ALL.len() as u32;

/// What was found in tables while all of their pages were looked at.
#[derive(Debug, Default)]
struct Found {
    sums: Sums,
    reach: Reach,
}

impl Tables {
    /// Makes the tables of a new store.
    pub(crate) fn make(folder: &Path, map_bytes: u64, identity: Identity) -> Result<(), OpenError> {
        let env = lmdb::make(folder, settings(map_bytes))?;
        let databases = create(&env).map_err(storage)?;
        let tables = Self { env, databases };
        tables.initialize(identity)?;
        tables.close();
        Ok(())
    }

    /// Opens the environment, with the sums of what is in it. Of a store in use no table is made: one that is not there
    /// was lost, and would come back empty. Only what a format brought with it is missing where tables are of an older
    /// one.
    pub(crate) fn open(folder: &Path, map_bytes: u64) -> Result<(Self, Sums), OpenError> {
        let mut found = Found::default();
        let env = lmdb::open(folder, settings(map_bytes), &mut found.by())?;
        let Some(databases) = find(&env).map_err(storage)? else {
            return Err(OpenError::Missing { environment: Environment::Tables });
        };
        let tables = Self { env, databases };
        match tables.format()? {
            None => Err(OpenError::Missing { environment: Environment::Tables }),
            Some(format) => {
                tables.refuse(format, &found)?;
                let is_older = format < meta::FORMAT_VERSION;
                let databases = if is_older { create(&tables.env).map_err(storage)? } else { tables.databases };
                Ok((Self { databases, ..tables }, found.sums))
            }
        }
    }

    /// Opens the environment to be read; `None` if there is none, or nothing in it. What an older format did not have
    /// is as good as empty.
    pub(crate) fn open_to_read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let mut found = Found::default();
        let opened = lmdb::open_to_read(folder, Environment::Tables, DATABASES, &mut found.by())?;
        let Some(env) = opened else { return Ok(None) };
        let Some(databases) = find(&env).map_err(storage)? else { return Ok(None) };
        let tables = Self { env, databases };
        if let Some(format) = tables.format()? {
            tables.refuse(format, &found)?;
        }
        Ok(Some(tables))
    }

    /// Refuses tables that lack one, or a record that was written, or have one that nobody can have written.
    fn refuse(&self, format: u32, found: &Found) -> Result<(), OpenError> {
        if format == meta::FORMAT_VERSION {
            self.refuse_incomplete(&found.sums)?;
        }
        if let Some(Identity { partitions, .. }) = self.identity()? {
            found.reach.check(partitions, self.applied()?.position)?;
        }
        Ok(())
    }

    fn refuse_incomplete(&self, found: &Sums) -> Result<(), OpenError> {
        let Databases { tables, chunks, sums, .. } = &self.databases;
        let named = Table::ALL.iter().map(|&table| (table.name(), tables[table as usize].is_none()));
        let mut all = named.chain([(CHUNKS, chunks.is_none()), (SUMS, sums.is_none())]);
        if let Some((table, _)) = all.find(|(_, is_lost)| *is_lost) {
            return Err(OpenError::TableLost { table });
        }
        self.check_names()?;
        found.compare(&self.sums()?)
    }
}

fn settings(map_bytes: u64) -> Settings {
    Settings { environment: Environment::Tables, map_bytes, databases: DATABASES }
}

impl Found {
    /// What takes note of each record.
    fn by(&mut self) -> impl FnMut(&[u8], &[u8], &[u8]) -> Result<(), Damage> {
        |name, key, stored| match Table::ALL.iter().find(|table| table.name().as_bytes() == name) {
            Some(table) => self.reach.note(&self.sums.note(*table, key, stored)?),
            None => Ok(()),
        }
    }
}

/// Opens the databases, and makes those that are missing.
fn create(env: &Env) -> heed::Result<Databases> {
    let txn = env.write_txn()?;
    let opened = env.create_databases_and_commit(txn, |opener, txn| {
        let meta = opener.create_database(txn, Some(META))?;
        let mut tables = [meta; Table::ALL.len()];
        for table in Table::ALL {
            tables[table as usize] = opener.create_database(txn, Some(table.name()))?;
        }
        let chunks = opener.create_database(txn, Some(CHUNKS))?;
        let sums = opener.create_database(txn, Some(SUMS))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, Infallible>::Commit((meta, tables, (chunks, sums))))
    });
    match opened? {
        CommitOrAbort::Commit((meta, tables, (chunks, sums))) => {
            Ok(Databases { meta, tables: tables.map(Some), chunks: Some(chunks), sums: Some(sums) })
        }
        CommitOrAbort::Abort(never) => match never {},
    }
}

/// Opens the databases that are there; `None` without `meta`, which is made together with the others.
fn find(env: &Env) -> heed::Result<Option<Databases>> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let Some(meta) = opener.open_database(txn, Some(META))? else { return Ok(CommitOrAbort::Abort(())) };
        let mut tables = [None; Table::ALL.len()];
        for table in Table::ALL {
            tables[table as usize] = opener.open_database(txn, Some(table.name()))?;
        }
        let chunks = opener.open_database(txn, Some(CHUNKS))?;
        let sums = opener.open_database(txn, Some(SUMS))?;
        Ok::<_, heed::Error>(CommitOrAbort::Commit((meta, tables, (chunks, sums))))
    });
    Ok(opened?.commit().map(|(meta, tables, (chunks, sums))| Databases { meta, tables, chunks, sums }))
}
