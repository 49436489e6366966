//! Opens the tables, to be written or to be read, and makes those of a new store.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use heed::types::Bytes;
use heed::{CommitOrAbort, CommitToken, OnCommit};

use super::databases::{CHUNKS, Databases, META, SUMS, Tables, storage};
use super::found::Found;
use super::sums::Sums;
use crate::error::{Environment, OpenError};
use crate::format::FORMAT_SUMS;
use crate::lmdb::{self, Env, Settings};
use crate::meta::Identity;
use crate::table::Schema;

/// Beside those of the tables: `meta`, `chunks`, and `sums`.
const DATABASES_OF_OURS: usize = 3;

impl Tables {
    /// Makes the tables of a new store.
    pub(crate) fn make(folder: &Path, map_bytes: u64, schema: Schema, identity: Identity) -> Result<(), OpenError> {
        let env = lmdb::make(folder, settings(&schema, map_bytes))?;
        let databases = create(&env, &schema).map_err(storage)?;
        let tables = Self { env, schema, databases };
        tables.initialize(identity)?;
        tables.close();
        Ok(())
    }

    /// Opens the environment, with the sums of what is in it. Of a store in use no table is made: one that is not there
    /// was lost, and would come back empty. Only what a format brought with it is missing where tables are of an older
    /// one.
    pub(crate) fn open(folder: &Path, map_bytes: u64, schema: Schema) -> Result<(Self, Sums), OpenError> {
        let mut found = Found::new(schema);
        let env = lmdb::open(folder, settings(&schema, map_bytes), &mut found.by())?;
        let Some(databases) = find(&env, &schema).map_err(storage)? else {
            return Err(OpenError::Missing { environment: Environment::Tables });
        };
        let tables = Self { env, schema, databases };
        match tables.format()? {
            None => Err(OpenError::Missing { environment: Environment::Tables }),
            Some(format) => {
                tables.refuse(format, &found)?;
                let is_older = format < schema.format();
                let databases =
                    if is_older { create(&tables.env, &schema).map_err(storage)? } else { tables.databases };
                Ok((Self { databases, ..tables }, found.into_sums()))
            }
        }
    }

    /// Opens the environment to be read; `None` if there is none, or nothing in it. What an older format did not have
    /// is as good as empty.
    pub(crate) fn open_to_read(folder: &Path, schema: Schema) -> Result<Option<Self>, OpenError> {
        let mut found = Found::new(schema);
        let opened = lmdb::open_to_read(folder, Environment::Tables, databases(&schema), &mut found.by())?;
        let Some(env) = opened else { return Ok(None) };
        let Some(databases) = find(&env, &schema).map_err(storage)? else { return Ok(None) };
        let tables = Self { env, schema, databases };
        if let Some(format) = tables.format()? {
            tables.refuse(format, &found)?;
        }
        Ok(Some(tables))
    }

    /// Opens the environment to be read beside whoever writes it; `None` if there is none, or nothing in it. What is in
    /// it was compared by whoever has it open.
    pub(crate) fn open_beside(folder: &Path, schema: Schema) -> Result<Option<Self>, OpenError> {
        let opened = lmdb::open_beside(folder, Environment::Tables, databases(&schema))?;
        let Some(env) = opened else { return Ok(None) };
        let Some(databases) = find(&env, &schema).map_err(storage)? else { return Ok(None) };
        Ok(Some(Self { env, schema, databases }))
    }

    /// Refuses tables that lack one, or were declared differently; that lack a record that was written, or have one
    /// that nobody can have written.
    fn refuse(&self, format: u32, found: &Found) -> Result<(), OpenError> {
        // Which tables one of an older format had is not looked at: their sums are made when it is opened.
        let has_sums = format >= FORMAT_SUMS;
        if has_sums {
            self.refuse_lost(format)?;
        }
        found.refuse_undeclared()?;
        if has_sums {
            self.check_names()?;
            found.compare(&self.sums()?)?;
        }
        if let Some(Identity { partitions, .. }) = self.identity()? {
            found.check_reach(partitions, self.applied()?.position)?;
        }
        Ok(())
    }

    fn refuse_lost(&self, format: u32) -> Result<(), OpenError> {
        let Databases { chunks, sums, .. } = &*self.databases;
        let declared = self.schema.tables().iter().filter(|table| table.since() <= format);
        let named = declared.map(|table| (table.name(), self.database(table.id()).is_none()));
        let mut all = named.chain([(CHUNKS, chunks.is_none()), (SUMS, sums.is_none())]);
        match all.find(|(_, is_lost)| *is_lost) {
            Some((table, _)) => Err(OpenError::TableLost { table }),
            None => Ok(()),
        }
    }
}

fn settings(schema: &Schema, map_bytes: u64) -> Settings {
    Settings { environment: Environment::Tables, map_bytes, databases: databases(schema) }
}

/// How many databases there are.
fn databases(schema: &Schema) -> u32 {
    u32::try_from(schema.tables().len() + DATABASES_OF_OURS).expect("there are 127 tables at most")
}

/// The databases as they are opened, before the transaction that opens them has ended.
struct Opening<'t> {
    meta: heed::Database<'t, Bytes, Bytes>,
    tables: Vec<Option<heed::Database<'t, Bytes, Bytes>>>,
    chunks: Option<heed::Database<'t, Bytes, Bytes>>,
    sums: Option<heed::Database<'t, Bytes, Bytes>>,
}

impl OnCommit for Opening<'_> {
    type Committed = Databases;

    fn on_commit(self, token: &CommitToken) -> Databases {
        Databases {
            meta: self.meta.on_commit(token),
            tables: self.tables.into_iter().map(|table| table.on_commit(token)).collect(),
            chunks: self.chunks.on_commit(token),
            sums: self.sums.on_commit(token),
        }
    }
}

/// Opens the databases, and makes those that are missing.
fn create(env: &Env, schema: &Schema) -> heed::Result<Arc<Databases>> {
    let txn = env.write_txn()?;
    let opened = env.create_databases_and_commit(txn, |opener, txn| {
        let mut create = |name| opener.create_database(txn, Some(name));
        let meta = create(META)?;
        let mut tables = vec![None; schema.numbers_end()];
        for table in schema.tables() {
            tables[usize::from(table.id().number())] = Some(create(table.name())?);
        }
        let (chunks, sums) = (Some(create(CHUNKS)?), Some(create(SUMS)?));
        Ok::<_, heed::Error>(CommitOrAbort::<_, Infallible>::Commit(Opening { meta, tables, chunks, sums }))
    });
    match opened? {
        CommitOrAbort::Commit(databases) => Ok(Arc::new(databases)),
        CommitOrAbort::Abort(never) => match never {},
    }
}

/// Opens the databases that are there; `None` without `meta`, which is made together with the others.
fn find(env: &Env, schema: &Schema) -> heed::Result<Option<Arc<Databases>>> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let open = |name| opener.open_database(txn, Some(name));
        let Some(meta) = open(META)? else { return Ok(CommitOrAbort::Abort(())) };
        let mut tables = vec![None; schema.numbers_end()];
        for table in schema.tables() {
            tables[usize::from(table.id().number())] = open(table.name())?;
        }
        let (chunks, sums) = (open(CHUNKS)?, open(SUMS)?);
        Ok::<_, heed::Error>(CommitOrAbort::Commit(Opening { meta, tables, chunks, sums }))
    });
    Ok(opened?.commit().map(Arc::new))
}
