//! The log of groups in LMDB. A commit here is the moment of truth: what is in the journal is flushed, the tables only
//! follow.
//!
//! One tree holds everything, since a commit writes every page of the tree that it touches and the roots above:
//! `meta` records sort first, next to the oldest groups, so that a commit which appends at one end and cuts at the
//! other touches two leaves. A group is kept in chunks that fill runs of 16 pages exactly, so that freed runs fit the
//! next groups.

mod chunk;
mod collected;
mod cut;
mod read;
mod verify;

use std::collections::VecDeque;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use heed::{CommitOrAbort, PutFlags, RoTxn, RwTxn};

use self::chunk::{HEADER_BYTES as CHUNK_HEADER_BYTES, PAYLOAD_BYTES_MAX, record_key};
use super::contract::{Log, LogEntry};
use crate::batch::Origin;
use crate::error::{CommitError, Damage, Environment, OpenError, ReadError};
use crate::hash::Chain;
use crate::ids::{Epoch, Group, ShardId};
use crate::lmdb::{self, Env, RawDatabase, Settings};
use crate::meta::{self, Identity, Meta};
use crate::table::Schema;

/// What damage in the journal is reported under.
const TABLE: &str = "journal";
/// How many old chunks a commit removes at least, if there are so many; more if it writes more, so that cutting keeps
/// up.
const CUT_CHUNKS: usize = 64;
/// How often the slots of readers that are gone are freed, in groups, and in bytes that are appended: until then what
/// is freed is not used again.
const CLEAR_GROUPS: u64 = 64;
const CLEAR_BYTES: usize = 1 << 20;

/// The journal, open for appending. Used by one thread at a time.
#[derive(Debug)]
pub(crate) struct Journal {
    env: Env,
    log: RawDatabase,
    schema: Schema,
    /// The first group held, or the next one to come.
    first: Group,
    /// The groups held, oldest first.
    held: VecDeque<Held>,
    /// Of all groups that were cut off.
    cut: Chain,
    /// Nobody needs groups up to this one.
    needless: Group,
    /// Whose groups this run appends, and the nonce of the run.
    shard: ShardId,
    run: u64,
    /// Bytes that were appended since the slots of readers were looked at.
    uncleared: usize,
    #[cfg(test)]
    pub(crate) fail_commit_of: Option<Group>,
}

/// A group that is in the journal.
#[derive(Debug, Clone, Copy)]
struct Held {
    chunks: u32,
    /// Of all groups up to this one.
    chain: Chain,
}

impl Journal {
    /// Makes the journal of a new store.
    pub(crate) fn make(folder: &Path, map_bytes: u64, schema: Schema, identity: Identity) -> Result<(), OpenError> {
        let settings = Settings { environment: Environment::Journal, map_bytes, databases: 0 };
        let env = lmdb::make(folder, settings)?;
        let log = unnamed_database(&env).map_err(storage)?;
        let journal = Self::new(env, log, schema);
        journal.initialize(identity)?;
        journal.close();
        Ok(())
    }

    /// Opens the environment. The groups that it holds become known by [`verify`](Self::verify).
    pub(crate) fn open(folder: &Path, map_bytes: u64, schema: Schema) -> Result<Self, OpenError> {
        let settings = Settings { environment: Environment::Journal, map_bytes, databases: 0 };
        let env = lmdb::open(folder, settings, &mut |_, _, _| Ok(()))?;
        let log = unnamed_database(&env).map_err(storage)?;
        Ok(Self::new(env, log, schema))
    }

    /// Opens the environment to be read; `None` if there is none.
    pub(crate) fn open_to_read(folder: &Path, schema: Schema) -> Result<Option<Self>, OpenError> {
        let opened = lmdb::open_to_read(folder, Environment::Journal, 0, &mut |_, _, _| Ok(()))?;
        let Some(env) = opened else { return Ok(None) };
        let log = existing_database(&env).map_err(storage)?;
        Ok(log.map(|log| Self::new(env, log, schema)))
    }

    /// Opens the environment to be read beside whoever writes it; `None` if there is none. Only its groups can be read,
    /// and which there are is not known.
    pub(crate) fn open_beside(folder: &Path, schema: Schema) -> Result<Option<Self>, OpenError> {
        let Some(env) = lmdb::open_beside(folder, Environment::Journal, 0)? else { return Ok(None) };
        let log = existing_database(&env).map_err(storage)?;
        Ok(log.map(|log| Self::new(env, log, schema)))
    }

    fn new(env: Env, log: RawDatabase, schema: Schema) -> Self {
        Self {
            env,
            log,
            schema,
            first: Group(1),
            held: VecDeque::new(),
            cut: Chain::default(),
            needless: Group(0),
            shard: ShardId(0),
            run: 0,
            uncleared: 0,
            #[cfg(test)]
            fail_commit_of: None,
        }
    }

    /// The file with the data, as it is open.
    pub(crate) fn file(&self) -> Result<File, OpenError> {
        self.env.try_clone_inner_file().map_err(storage)
    }

    pub(crate) fn page_bytes(&self) -> u32 {
        self.env.unnamed_database_stat().page_size
    }

    /// The format of the journal; `None` in a new one. Refuses one that this crate does not read.
    pub(crate) fn format(&self) -> Result<Option<u32>, OpenError> {
        let txn = self.env.read_txn().map_err(storage)?;
        let key = meta_key(meta::FORMAT);
        let stored = self.log.get(&txn, &key).map_err(storage)?;
        stored.map(|stored| meta::format(Environment::Journal, TABLE, &key, stored, self.schema.format())).transpose()
    }

    /// What the store is; `None` in a new journal. Refuses another format.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, OpenError> {
        if self.format()?.is_none() {
            return Ok(None);
        }
        let txn = self.env.read_txn().map_err(storage)?;
        let identity = self.meta(&txn, meta::STORE)?;
        identity.ok_or(OpenError::Missing { environment: Environment::Journal }).map(Some)
    }

    /// The epoch of the last run; `None` if there was none.
    pub(crate) fn epoch(&self) -> Result<Option<Epoch>, OpenError> {
        self.meta(&*self.env.read_txn().map_err(storage)?, meta::EPOCH)
    }

    /// Whether the last run closed; true if there was none.
    pub(crate) fn is_clean(&self) -> Result<bool, OpenError> {
        Ok(self.meta(&*self.env.read_txn().map_err(storage)?, meta::CLEAN)?.unwrap_or(true))
    }

    /// How far the journal was cut off.
    #[cfg(test)]
    pub(crate) fn cut(&self) -> Result<meta::Cut, OpenError> {
        Ok(self.meta(&*self.env.read_txn().map_err(storage)?, meta::CUT)?.unwrap_or_default())
    }

    /// Waits until every handle is gone, and with them the files are closed.
    pub(crate) fn close(self) {
        self.env.prepare_for_closing().wait();
    }

    /// Writes what a new store starts with.
    fn initialize(&self, identity: Identity) -> Result<(), CommitError> {
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_format(&mut txn)?;
            self.put_meta(&mut txn, meta::STORE, &identity)?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Makes the start of a run durable, and with it that the run writes the format of this crate: from here on an
    /// older program refuses the store.
    pub(crate) fn start_run(&mut self, shard: ShardId, epoch: Epoch) -> Result<(), CommitError> {
        self.shard = shard;
        self.run = epoch.nonce;
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_format(&mut txn)?;
            self.put_meta(&mut txn, meta::EPOCH, &epoch)?;
            self.put_meta(&mut txn, meta::CLEAN, &false)?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Of all groups up to the last one.
    fn chain(&self) -> Chain {
        self.held.back().map_or(self.cut, |held| held.chain)
    }

    /// Frees the reader slots of processes that are gone.
    fn clear_stale_readers(&self) {
        // A slot that stays only costs pages, until the next time.
        let _ = self.env.clear_stale_readers();
    }

    fn failed(&self, error: heed::Error) -> CommitError {
        CommitError::new(Environment::Journal, self.env.path(), error)
    }

    fn meta<M: Meta>(&self, txn: &RoTxn<'_>, name: &str) -> Result<Option<M>, OpenError> {
        let key = meta_key(name);
        let stored = self.log.get(txn, &key).map_err(storage)?;
        Ok(stored.map(|stored| M::decode(TABLE, &key, stored)).transpose()?)
    }

    fn put_format(&self, txn: &mut RwTxn<'_>) -> heed::Result<()> {
        self.log.put(txn, &meta_key(meta::FORMAT), &self.schema.format().to_be_bytes())
    }

    fn put_meta<M: Meta>(&self, txn: &mut RwTxn<'_>, name: &str, value: &M) -> heed::Result<()> {
        let key = meta_key(name);
        self.log.put(txn, &key, &value.encode(&key))
    }
}

impl Log for Journal {
    const HEADROOM: usize = CHUNK_HEADER_BYTES;

    /// The header of each chunk is written over the bytes before it, which LMDB has copied by then, so that nothing is
    /// moved. Old groups are cut off in the same commit, a bounded number of them.
    fn append(&mut self, group: Group, buffer: &mut [u8]) -> Result<(), CommitError> {
        assert_eq!(group, self.next(), "groups are appended in order");
        #[cfg(test)]
        if self.fail_commit_of == Some(group) {
            return Err(self.failed(heed::Error::Io(std::io::Error::other("injected"))));
        }
        let payload = buffer.len() - CHUNK_HEADER_BYTES;
        let chunks = payload.div_ceil(PAYLOAD_BYTES_MAX).max(1);
        let total = u32::try_from(chunks).expect("a group is far below 2^32 chunks");
        let mut write = || {
            let (mut txn, mut chain) = (self.env.write_txn()?, self.chain());
            for number in 0..total {
                let start = number as usize * PAYLOAD_BYTES_MAX;
                let end = buffer.len().min(start + CHUNK_HEADER_BYTES + PAYLOAD_BYTES_MAX);
                let key = record_key(group, number);
                chain = chain.with(chunk::seal(&key, total, &mut buffer[start..end]));
                // `APPEND` fills pages instead of halving them, and refuses a key out of order.
                self.log.put_with_flags(&mut txn, PutFlags::APPEND, &key, &buffer[start..end])?;
            }
            let cut = self.cut_within(&mut txn, CUT_CHUNKS + 2 * chunks)?;
            txn.commit()?;
            Ok((cut, chain))
        };
        let (cut, chain) = write().map_err(|error| self.failed(error))?;
        self.held.push_back(Held { chunks: total, chain });
        self.forget(cut);
        self.uncleared += payload;
        if group.0.is_multiple_of(CLEAR_GROUPS) || self.uncleared > CLEAR_BYTES {
            self.uncleared = 0;
            self.clear_stale_readers();
        }
        Ok(())
    }

    /// A commit flushes.
    fn flush(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    fn flushed(&self) -> Group {
        self.last()
    }

    fn last(&self) -> Group {
        Group(self.first.0 + self.held.len() as u64 - 1)
    }

    fn shard(&self) -> ShardId {
        self.shard
    }

    fn origin(&self) -> Origin {
        Origin { before: self.chain(), run: self.run }
    }

    fn read(&self, from: Group, visit: impl FnMut(LogEntry) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.read_from(from, visit)
    }

    fn cut_front(&mut self, to: Group) {
        self.needless = to;
    }

    fn trim(&mut self) -> Result<bool, CommitError> {
        self.cut_some()
    }

    fn cut_back(&mut self, from: Group) -> Result<(), CommitError> {
        self.cut_from(from)
    }

    /// The bytes of the pages in use.
    fn used_bytes(&self) -> u64 {
        self.env.unnamed_database_stat().non_free_page_size() as u64
    }

    fn finish(&mut self) -> Result<(), CommitError> {
        self.cut_front(self.last());
        while self.trim()? {}
        let write = || {
            let mut txn = self.env.write_txn()?;
            self.put_meta(&mut txn, meta::CLEAN, &true)?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }
}

/// What is wrong with a group of the journal.
pub(crate) fn damage(group: Group, reason: &'static str) -> Damage {
    Damage::new(TABLE, &record_key(group, 0), reason)
}

/// `meta` records sort before all groups.
fn meta_key(name: &str) -> Vec<u8> {
    [&[chunk::META_PREFIX], name.as_bytes()].concat()
}

fn unnamed_database(env: &Env) -> heed::Result<RawDatabase> {
    let txn = env.write_txn()?;
    let opened = env.create_databases_and_commit(txn, |opener, txn| {
        opener.create_database(txn, None).map(CommitOrAbort::<_, std::convert::Infallible>::Commit)
    });
    match opened? {
        CommitOrAbort::Commit(log) => Ok(log),
        CommitOrAbort::Abort(never) => match never {},
    }
}

fn existing_database(env: &Env) -> heed::Result<Option<RawDatabase>> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        opener.open_database(txn, None).map(CommitOrAbort::<_, std::convert::Infallible>::Commit)
    });
    match opened? {
        CommitOrAbort::Commit(log) => Ok(log),
        CommitOrAbort::Abort(never) => match never {},
    }
}

fn storage(error: heed::Error) -> OpenError {
    OpenError::storage(Environment::Journal, &error)
}
