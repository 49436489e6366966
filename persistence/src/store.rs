//! The handle of a store: what callers use, and what starts and ends the threads.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::admission::{Admission, Class, Permit};
use crate::config::Config;
use crate::engine::{Running, Shared, Upkeep, Watermarks};
use crate::error::{AdmissionError, CommitError, Environment, OpenError, ReadError, failed};
use crate::files::{Folder, Reserve};
use crate::ids::{Epoch, Position, ShardId};
use crate::key::Key;
use crate::limits::Limits;
use crate::log::Log;
use crate::meta::Identity;
use crate::opening::{Opened, Recovered, recover};
use crate::overlay::Overlay;
use crate::queue::{Ending, Queue, Stage};
use crate::range::{Range, RangeStep};
use crate::reads::{Admit, AdmitAll};
use crate::slots::Promise;
use crate::statistics::{Statistics, add};
use crate::table::{Schema, Table};
use crate::tables::Scrub;

/// An open store. Cheap to clone; all clones are the same store.
///
/// To end it, call [`close`](Self::close). Dropping the last clone instead ends it as a crash would: what was
/// reported durable is kept, what was not is lost, and the threads are gone when the drop returns.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// What is newest of a record, see [`Store::newest`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Newest {
    /// Its value; `None` if there is no such record, or it was deleted.
    pub value: Option<Bytes>,
    /// The ticket of the submission that says so, while that is not durable; `None` if it is. If the store fails
    /// before, it never was so.
    pub ticket: Option<Position>,
}

struct Inner {
    shared: Arc<Shared>,
    schema: Schema,
    path: PathBuf,
    identity: Identity,
    epoch: Epoch,
    /// Held while closing, so that a second caller waits for the first.
    running: Mutex<Option<Running>>,
}

impl Store {
    /// Opens the store in `folder`, and makes it if there is none. The folder must be on a local file system. Blocks
    /// for as long as recovery takes: reading the journal.
    ///
    /// `schema` says which tables the store has. One that was declared differently when the store was written is
    /// refused by its name, and so is a table with records that is not declared.
    ///
    /// `on_progress` is called on the writer's thread after every move of the durable watermark, and once when the
    /// store fails or ends. It must be short, must not block and must not panic; it should hold the store weakly if
    /// at all, or the store is never dropped.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says for each case what it means and what to do. Nothing is repaired silently.
    pub fn open(
        folder: &Path,
        config: Config,
        schema: Schema,
        on_progress: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Opened), OpenError> {
        config.validate()?;
        let folder = Folder::lock(folder)?;
        let recovered = recover(&folder, &config, schema)?;
        Self::start(folder, recovered, &config, schema, Box::new(on_progress))
    }

    fn start<L: Log + Send + 'static>(
        folder: Folder,
        recovered: Recovered<L>,
        config: &Config,
        schema: Schema,
        on_progress: Box<dyn Fn() + Send + Sync>,
    ) -> Result<(Self, Opened), OpenError> {
        let Recovered { log, journal_file, page_bytes, tables, identity, epoch, applied, tail, last, opened } =
            recovered;

        let limits = Limits::new(config, page_bytes);
        let admission = Admission::new(limits.clone(), folder.path().to_path_buf(), config.disk_headroom_bytes);
        admission.set_journal_used(log.used_bytes());
        admission
            .set_tables_used(tables.used_bytes().map_err(|error| OpenError::storage(Environment::Tables, &error))?);
        let half = |environment| move |error| OpenError::storage(environment, &error);
        let tables_file = tables.file().map_err(half(Environment::Tables))?;
        let witness = folder.watch(&journal_file, &tables_file)?;
        let upkeep = Upkeep::new(
            Reserve::new(journal_file, config.reserve_disk_bytes, config.journal_map_bytes),
            Reserve::new(tables_file, config.reserve_disk_bytes, config.tables_map_bytes),
            Scrub::new(schema, identity.partitions),
        );
        let behind = !tail.is_empty();
        let overlay = Overlay::new(tables.clone(), tail);
        admission.set_overlay(overlay.read().held());
        let shared = Arc::new(Shared::new(
            limits,
            Arc::new(admission),
            Queue::new(identity.partitions, schema, last.next()),
            overlay,
            Watermarks::new(log.last(), last),
            witness,
            on_progress,
        ));
        shared.checkpoints.start_at(applied);
        if behind {
            shared.checkpoints.want(false);
        }
        let path = folder.path().to_path_buf();
        let promise = Promise::open(&path, identity.store, log.last())?;
        upkeep.renew(&shared.admission);
        let running = Running::start(folder, &shared, log, tables, upkeep, last, promise)?;
        let inner = Inner { shared, schema, path, identity, epoch, running: Mutex::new(Some(running)) };
        let store = Self { inner: Arc::new(inner) };
        store.check_place()?;
        Ok((store, opened))
    }

    /// From here on the store also fails when this file in its folder, which whoever opened the store keeps beside it,
    /// is removed or replaced.
    ///
    /// # Errors
    ///
    /// [`OpenError::Folder`] if it is not there.
    pub fn watch(&self, file: &str) -> Result<(), OpenError> {
        let path = self.inner.path.join(file);
        let watched = self.inner.shared.witness.watch(path.clone());
        watched.map_err(failed(&path))?;
        self.check_place()
    }

    /// Whether everything that was opened is where it was.
    fn check_place(&self) -> Result<(), OpenError> {
        self.inner.shared.witness.look().map_err(|error| match error {
            CommitError::Displaced { path, .. } => OpenError::Displaced { path: path.to_path_buf() },
            other => other.into(),
        })
    }

    /// The store's name for ever.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.inner.identity.store
    }

    /// The name of this run; durable since before `open` returned.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// How many partitions the store was made with.
    #[must_use]
    pub fn partitions(&self) -> NonZeroU16 {
        NonZeroU16::new(self.inner.identity.partitions)
            .expect("compared with the configuration, which is not zero, when opened")
    }

    /// Waits for room for one submission whose values have `bytes` bytes together; the crate adds its overhead.
    /// Waiting is fair: first come, first served. A submission that turns out larger than announced is taken all the
    /// same.
    ///
    /// # Errors
    ///
    /// For [`Class::Outside`] at once if the store or the disk is too full, for every class if `bytes` is above the
    /// limit of one submission, or when the store has failed or is closed. Never [`AdmissionError::QueueFull`].
    /// Nothing was taken then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken when the future is dropped.
    pub async fn reserve(&self, class: Class, bytes: usize) -> Result<Permit<'_>, AdmissionError> {
        let Shared { admission, queue, .. } = &*self.inner.shared;
        match admission.try_reserve(class, bytes) {
            // What is submitted holds the room.
            Err(AdmissionError::QueueFull | AdmissionError::StoreFull { .. }) => queue.hurry(Position(u64::MAX)),
            outcome => return outcome,
        }
        admission.reserve(class, bytes).await
    }

    /// Like [`reserve`](Self::reserve), without waiting.
    ///
    /// # Errors
    ///
    /// As for `reserve`; also [`AdmissionError::QueueFull`] where that would wait for the queue, and
    /// [`AdmissionError::StoreFull`] where it would hold back a growing turn.
    pub fn try_reserve(&self, class: Class, bytes: usize) -> Result<Permit<'_>, AdmissionError> {
        self.inner.shared.admission.try_reserve(class, bytes)
    }

    /// Submits what `stage` puts in, as one: all of it becomes durable, or nothing. Returns the ticket, and what
    /// `stage` returned.
    ///
    /// One step without waiting: positions, place in the queue and ticket are decided while `stage` runs, under the
    /// lock of the queue. So it must be short; encode values before. If it panics nothing is submitted, and the panic
    /// goes on.
    ///
    /// Never refused. Only after the store failed or was closed the submission is dropped, and its ticket never
    /// becomes durable.
    pub fn submit<R>(&self, permit: Permit<'_>, stage: impl FnOnce(&mut Stage<'_>) -> R) -> (Position, R) {
        self.inner.shared.queue.submit(permit, stage)
    }

    /// Like [`submit`](Self::submit), for what nobody waits for: it makes no commit of its own, but becomes durable
    /// with the next submission, when somebody waits for it ([`hurry`](Self::hurry)), or a millisecond later.
    pub fn submit_unhurried<R>(&self, permit: Permit<'_>, stage: impl FnOnce(&mut Stage<'_>) -> R) -> (Position, R) {
        self.inner.shared.queue.submit_unhurried(permit, stage)
    }

    /// Says that somebody waits until everything up to this position is durable: nothing of it that was
    /// [submitted without hurry](Self::submit_unhurried) is left any longer. Costs one atomic load where nothing was.
    pub fn hurry(&self, after: Position) {
        self.inner.shared.queue.hurry(after);
    }

    /// Everything up to this position is durable, and can be read. One atomic load; it only grows.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.inner.shared.watermarks.durable()
    }

    /// Why the store has stopped, if it has failed. Nothing becomes durable any more then; reads still work.
    #[must_use]
    pub fn failure(&self) -> Option<CommitError> {
        self.inner.shared.admission.failure().cloned()
    }

    /// Reads a durable record. May wait for the disk.
    ///
    /// # Errors
    ///
    /// Damage to this record, or a store that is closed.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        add(&self.inner.shared.counters.records_read, 1);
        self.inner.shared.overlay.get(key)
    }

    /// Reads what a record becomes by everything that this store was given so far, durable or not: what a turn sees
    /// that builds on earlier ones. What it does with it must not become known to anybody before that is durable, see
    /// [`Newest::ticket`]; a submission of its own becomes durable after it. May wait for the disk.
    ///
    /// Whoever never calls this pays nothing for it; each change that waits is looked at once for all calls.
    ///
    /// # Errors
    ///
    /// Damage to this record, or a store that is closed.
    pub fn newest(&self, key: &Key) -> Result<Newest, ReadError> {
        self.inner.schema.table(key.table());
        match self.inner.shared.queue.newest(key) {
            Some(submitted) => Ok(Newest { value: submitted.value, ticket: Some(submitted.ticket) }),
            None => Ok(Newest { value: self.get(key)?, ticket: None }),
        }
    }

    /// Reads durable records of any tables, all as of one moment; in the order asked for. May wait for the disk.
    ///
    /// # Errors
    ///
    /// Damage to one of these records, or a store that is closed.
    pub fn records(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let records = self.inner.shared.overlay.records(keys)?;
        add(&self.inner.shared.counters.records_read, records.len());
        Ok(records)
    }

    /// Reads a durable record for a task: never waits for the disk on the thread that polls it. What is in memory is
    /// returned at once; anything else is read by threads of the store, two for each processor, but 4 at least and 16
    /// at most, which read for many callers at a time.
    ///
    /// # Errors
    ///
    /// Damage to this record, a store that is closed, or a defect of this program ([`ReadError::Panicked`]).
    ///
    /// # Cancel safety
    ///
    /// Nothing has happened when the future is dropped.
    pub async fn read(&self, key: Key) -> Result<Option<Bytes>, ReadError> {
        Ok(self.read_all(vec![key]).await?.pop().expect("one was asked for"))
    }

    /// As [`Store::records`], for a task; as [`Store::read`].
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    ///
    /// # Cancel safety
    ///
    /// As [`Store::read`].
    pub async fn read_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Bytes>>, ReadError> {
        Ok(self.read_while(keys, AdmitAll).await?.0)
    }

    /// As [`Store::read_all`], up to the first that `admit` refuses; what is returned ends before that one. `admit` is
    /// returned too, for what it has noted.
    ///
    /// # Errors
    ///
    /// As [`Store::read`]; if `admit` panics on a thread of the store, [`ReadError::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Nothing was read when the future is dropped; `admit` may have been asked, and is dropped later.
    pub async fn read_while<A>(&self, keys: Vec<Key>, mut admit: A) -> Result<(Vec<Option<Bytes>>, A), ReadError>
    where
        A: Admit + 'static,
    {
        let shared = &self.inner.shared;
        let (records, admit) = match shared.overlay.records_in_memory(&keys, &mut |bytes| admit.admits(bytes)) {
            Some(records) => (records?, admit),
            None => shared.reads.read(keys, admit).await?,
        };
        add(&shared.counters.records_read, records.len());
        Ok((records, admit))
    }

    /// Visits every durable record of a table in key order, as of one moment, until `visit` breaks. Meant for the
    /// start, and for lists that a person asks for: it pins pages of the tables while it runs, so `visit` must not
    /// wait for anything.
    ///
    /// # Errors
    ///
    /// Damage to a record, after those before it were visited; or a store that is closed.
    pub fn scan(&self, table: &Table, mut visit: impl FnMut(&Key, &[u8]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let mut passed = 0;
        let scanned = self.inner.shared.overlay.scan(table, |key, record| {
            passed += 1;
            visit(key, record)
        });
        add(&self.inner.shared.counters.records_read, passed);
        scanned
    }

    /// Reads a step of a range: so many durable records at most, and so many bytes of values, but one record in any
    /// case where the step comes to one. All as of one moment; nothing is held between two steps, so what is committed
    /// meanwhile is seen by the next one. May wait for the disk.
    ///
    /// A step looks at all changes of the table that are not in the tables yet, and at `records_max` of them closely.
    ///
    /// ```
    /// # use everpost_persistence::{Config, Range, Schema, Store, Table};
    /// # const LETTERS: Table = Table::queue(1, "letters", 1);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let (store, _) = Store::open(folder.path(), Config::default(), Schema::new(&[LETTERS]), || ())?;
    /// let mut rest = Some(Range::of(&LETTERS));
    /// while let Some(range) = rest {
    ///     let step = store.range(&range, 100, 1 << 20)?;
    ///     for (key, letter) in step.records {
    ///         println!("{key:?}: {} bytes", letter.len());
    ///     }
    ///     rest = step.rest;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Damage to one of these records, or a store that is closed.
    pub fn range(&self, range: &Range, records_max: usize, bytes_max: usize) -> Result<RangeStep, ReadError> {
        let step = self.inner.shared.overlay.range(range, records_max, bytes_max)?;
        add(&self.inner.shared.counters.records_read, step.records.len());
        Ok(step)
    }

    /// What the store has done and holds.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let shared = &self.inner.shared;
        Statistics {
            journal_used_bytes: shared.admission.journal_used(),
            tables_used_bytes: shared.admission.tables_used(),
            overlay_bytes: shared.admission.overlay_bytes(),
            queue_turns: shared.queue.depth() as u64,
            ..shared.counters.read()
        }
    }

    /// Takes nothing in from here on: whoever waits for room is told that the store is closed. What was submitted is
    /// not concerned. Does not block; [`close`](Self::close) has to follow.
    pub fn refuse(&self) {
        self.inner.shared.admission.close();
    }

    /// Ends the store: waits until everything submitted is durable, takes a last checkpoint, marks a clean shutdown,
    /// ends the threads and unlocks the folder. Blocks; call it from a thread that may. Waits for reads that are
    /// under way. From here on nothing is admitted and nothing can be read. Calling it again waits for the first
    /// call, and returns the same.
    ///
    /// # Errors
    ///
    /// Why the store failed, if it did; also when that was before. Then the shutdown is not clean, and the next
    /// opening recovers.
    pub fn close(&self) -> Result<(), CommitError> {
        self.inner.end(Ending::Clean);
        self.failure().map_or(Ok(()), Err)
    }

    /// Leaves the store as a crash would, whoever else has a handle: what was reported durable is kept, what was not is
    /// lost, and reads fail from then on with [`ReadError::Closed`]. When this returns the threads have ended, and the
    /// folder is free for the next opening. It blocks until the write that is under way is done.
    pub fn abandon(&self) {
        self.inner.end(Ending::Abandon);
    }
}

impl Inner {
    fn end(&self, ending: Ending) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.take() {
            running.end(&self.shared, ending);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end(Ending::Abandon);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let durable = self.durable();
        formatter.debug_struct("Store").field("id", &self.id()).field("durable", &durable).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
