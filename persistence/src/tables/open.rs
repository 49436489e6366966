//! Opens the tables: to be written, which makes what is missing; or to be read, which changes nothing.

use std::path::Path;

use heed::CommitOrAbort;

use super::{CHUNKS, Databases, META, Tables, format, storage};
use crate::env::{self, Env, Settings};
use crate::error::{Environment, OpenError};
use crate::key::Table;
use crate::meta;

/// One for each table, `meta`, and `chunks`.
const DATABASES: u32 = 2 + Table::ALL.len() as u32;

impl Tables {
    /// Opens the environment, and makes it if there is none.
    pub(crate) fn open(folder: &Path, map_bytes: u64, reserve_bytes: u64) -> Result<Self, OpenError> {
        let settings = Settings { environment: Environment::Tables, map_bytes, databases: DATABASES, reserve_bytes };
        let env = env::open(folder, settings)?;
        let databases = create(&env)?;
        Ok(Self { env, databases })
    }

    /// Opens the environment to be read; `None` if there is none, or nothing in it. What an older format did not have
    /// is as good as empty.
    pub(crate) fn open_to_read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let Some(env) = env::open_to_read(folder, Environment::Tables, DATABASES)? else { return Ok(None) };
        let databases = find(&env).map_err(storage)?;
        Ok(databases.map(|databases| Self { env, databases }))
    }
}

/// Opens the databases, and makes those that are missing: all of a new store, or those that came with a later format.
/// Refuses a format that this crate does not read, without making anything in it.
fn create(env: &Env) -> Result<Databases, OpenError> {
    let txn = env.write_txn().map_err(storage)?;
    let opened = env.create_databases_and_commit(txn, |opener, txn| {
        let meta = opener.create_database(txn, Some(META))?;
        if let Err(refused) = format(meta.get(txn, meta::FORMAT.as_bytes())) {
            return Ok(CommitOrAbort::Abort(refused));
        }
        let mut tables = [meta; Table::ALL.len()];
        for table in Table::ALL {
            tables[table as usize] = opener.create_database(txn, Some(table.name()))?;
        }
        let chunks = opener.create_database(txn, Some(CHUNKS))?;
        Ok::<_, heed::Error>(CommitOrAbort::Commit((meta, tables, chunks)))
    });
    match opened.map_err(storage)? {
        CommitOrAbort::Commit((meta, tables, chunks)) => {
            Ok(Databases { meta, tables: tables.map(Some), chunks: Some(chunks) })
        }
        CommitOrAbort::Abort(refused) => Err(refused),
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
        Ok::<_, heed::Error>(CommitOrAbort::Commit((meta, tables, chunks)))
    });
    Ok(opened?.commit().map(|(meta, tables, chunks)| Databases { meta, tables, chunks }))
}
