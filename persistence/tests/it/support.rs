//! A store under test, with a way to wait for it, and a way to look into its files behind its back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Class, Config, Key, OpenError, Opened, Partition, Position, Stage, Store, Table};
use heed::types;
use heed::{CommitOrAbort, EnvOpenOptions, RwTxn};

use crate::declared;

/// How long anything may take before a test gives up; far more than it takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A store, and a bell that rings when it makes progress.
#[derive(Debug, Clone)]
pub(crate) struct TestStore {
    pub(crate) store: Store,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Bell {
    rings: Mutex<u64>,
    rang: Condvar,
}

/// A temporary folder, in memory where the system has such a place: what is tested here is what is kept, not how fast
/// the disk is, and a commit is two syncs.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Small maps, and checkpoints only when a test or a limit asks for them.
pub(crate) fn config() -> Config {
    const MIB: u64 = 1 << 20;
    Config {
        journal_map_bytes: 64 * MIB,
        tables_map_bytes: 64 * MIB,
        checkpoint_age: Duration::from_secs(3600),
        disk_headroom_bytes: 0,
        ..Config::default()
    }
}

impl TestStore {
    pub(crate) fn open(folder: &Path, config: Config) -> (Self, Opened) {
        Self::try_open(folder, config).unwrap()
    }

    pub(crate) fn try_open(folder: &Path, config: Config) -> Result<(Self, Opened), OpenError> {
        let bell = Arc::new(Bell::default());
        let ring = Arc::clone(&bell);
        let (store, opened) = Store::open(folder, config, declared::SCHEMA, move || {
            *ring.rings.lock().unwrap() += 1;
            ring.rang.notify_all();
        })?;
        Ok((Self { store, bell }, opened))
    }

    /// Submits as a turn that always passes, and returns its ticket.
    pub(crate) fn submit<R>(&self, stage: impl FnOnce(&mut Stage<'_>) -> R) -> (Position, R) {
        let permit = self.reserve(Class::Turn { growth: 0 }, 0);
        self.store.submit(permit, stage)
    }

    /// Submits one record, and returns its position.
    pub(crate) fn enqueue(&self, partition: u16, value: impl Into<Bytes>) -> Position {
        let value = value.into();
        self.submit(|stage| stage.enqueue(&declared::INBOX, Partition(partition), value)).1
    }

    /// Submits one record, in a group of its own, and waits for it.
    pub(crate) fn enqueue_alone(&self, value: Vec<u8>) {
        let (ticket, _) = self.submit(|stage| stage.enqueue(&declared::INBOX, Partition(0), value.into()));
        assert!(self.wait_durable(ticket));
    }

    /// Room in the queue, waited for on this thread.
    pub(crate) fn reserve(&self, class: Class, bytes: usize) -> everpost_persistence::Permit<'_> {
        block_on(self.store.reserve(class, bytes))
            .unwrap_or_else(|error| panic!("{error}; {:?}", self.store.statistics()))
    }

    /// Waits until everything submitted so far by this thread is durable.
    pub(crate) fn settle(&self) {
        let (ticket, ()) = self.submit(|_| ());
        assert!(self.wait_durable(ticket), "the store failed: {:?}", self.store.failure());
    }

    /// Waits until a position is durable; false if the store fails before.
    pub(crate) fn wait_durable(&self, position: Position) -> bool {
        self.wait_until(|store| store.durable() >= position || store.failure().is_some());
        self.store.durable() >= position
    }

    /// Waits for a condition that is looked at after each progress of the store.
    pub(crate) fn wait_until(&self, condition: impl Fn(&Store) -> bool) {
        let mut rings = self.bell.rings.lock().unwrap();
        while !condition(&self.store) {
            let (guard, timeout) = self.bell.rang.wait_timeout(rings, DEADLINE).unwrap();
            rings = guard;
            assert!(!timeout.timed_out(), "nothing happened for a minute: {:?}", self.store.statistics());
        }
    }

    /// All records of a table.
    pub(crate) fn records(&self, table: Table) -> Vec<(Key, Bytes)> {
        let mut records = Vec::new();
        let visit = |key: &Key, value: &[u8]| {
            records.push((*key, Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        };
        self.store.scan(&table, visit).unwrap();
        records
    }
}

/// Every file below a folder, with its bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Changes an environment of a closed store behind its back; `database` is `None` for the journal.
pub(crate) fn edit(
    folder: &Path,
    database: Option<&str>,
    change: impl FnOnce(&heed::Database<'_, types::Bytes, types::Bytes>, &mut RwTxn<'_>),
) {
    let mut options = EnvOpenOptions::new();
    options.map_size(64 << 20).max_dbs(16);
    #[expect(unsafe_code, reason = "a test looks into the files as LMDB sees them")]
    // SAFETY: the store is closed, and nothing else has its files open.
    let env = unsafe { options.open(folder) }.unwrap();
    let txn = env.write_txn().unwrap();
    let done: CommitOrAbort<(), ()> = env
        .create_databases_and_commit(txn, |opener, txn| {
            let database = opener.create_database(txn, database)?;
            change(&database, txn);
            Ok::<_, heed::Error>(CommitOrAbort::Commit(()))
        })
        .unwrap();
    done.unwrap_commit();
    env.prepare_for_closing().wait();
}

/// Flips one bit in the middle of a stored record, and nothing else.
pub(crate) fn flip_bit(folder: &Path, database: Option<&str>, key: &[u8]) {
    edit(folder, database, |records, txn| {
        let mut stored = records.get(txn, key).unwrap().unwrap().to_vec();
        let middle = stored.len() / 2;
        stored[middle] ^= 4;
        records.put(txn, key, &stored).unwrap();
    });
}
