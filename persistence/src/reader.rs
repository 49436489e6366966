//! Reads a store beside whoever has it open, in another process.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use crate::error::{Damage, Environment, OpenError, ReadError};
use crate::files::{JOURNAL, TABLES};
use crate::fold::Known;
use crate::hash::Chain;
use crate::ids::{Group, Position, ShardId};
use crate::key::Key;
use crate::log::Journal;
use crate::meta::{Applied, Identity};
use crate::opening::{Found, Tail, find};
use crate::overlay::{changes_of, step, visit_all};
use crate::range::{Range, RangeStep};
use crate::slots::Promise;
use crate::table::{Schema, Table};
use crate::tables::{Snapshot, Tables};

/// Reads a store while another process may have it open, and write. It takes no lock of the store, so a node can start
/// and stop beside it; and it changes nothing, but for the file in which LMDB notes its readers.
///
/// What is read is everything that is durable at an instant, of the tables and of the journal's tail, see
/// [`view`](Self::view). The store has to be of a format that this program knows; it is not brought up to a newer one.
///
/// A process that has the store open, or another reader of it, cannot have a reader of its own: it reads by what it
/// has. If the store is opened with a larger map meanwhile, reads fail until the reader is opened anew.
///
/// ```no_run
/// use std::path::Path;
/// use everpost_persistence::{Range, Reader, Schema, Table};
///
/// const LETTERS: Table = Table::queue(1, "letters", 1);
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut reader = Reader::open(Path::new("data"), Schema::new(&[LETTERS]))?;
/// let mut rest = Some(Range::of(&LETTERS));
/// while let Some(range) = rest {
///     // Nothing is held between two steps.
///     let step = reader.view()?.range(&range, 100, 1 << 20)?;
///     println!("{} letters", step.records.len());
///     rest = step.rest;
/// }
/// # Ok(()) }
/// ```
pub struct Reader {
    journal: Journal,
    tables: Tables,
    schema: Schema,
    identity: Identity,
    partitions: NonZeroU16,
    /// What was behind the tables when somebody looked last; kept, so that the next look reads what has come since.
    behind: Behind,
}

/// What is behind the tables.
struct Behind {
    /// How far the tables are.
    applied: Applied,
    tail: Tail,
    /// The last group of the tail.
    last: Group,
    chain: Chain,
}

impl Behind {
    fn after(applied: Applied) -> Self {
        let Applied { group, chain, .. } = applied;
        Self { applied, tail: Tail::after(applied), last: group, chain: chain.unwrap_or_default() }
    }
}

impl Reader {
    /// Opens the store in `folder`, whether somebody has it open or not. Blocks for as long as it takes to look through
    /// the pages of its files, which LMDB would trust.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoStore`] and [`OpenError::Unfinished`] where there is nothing to read; [`OpenError::InUse`] where
    /// this process has the store open already; and as [`Store::open`](crate::Store::open) for what is found there.
    pub fn open(folder: &Path, schema: Schema) -> Result<Self, OpenError> {
        // Before the journal: what is promised by now is in it.
        let promised = Promise::read(folder)?;
        let journal = Journal::open_beside(&folder.join(JOURNAL), schema)?;
        let tables = Tables::open_beside(&folder.join(TABLES), schema)?;
        let here = || folder.to_path_buf();
        let (journal, tables, identity) = match (find(journal.as_ref(), tables.as_ref())?, journal, tables) {
            (Found::Store(identity), Some(journal), Some(tables)) => (journal, tables, identity),
            (Found::Unfinished, ..) => return Err(OpenError::Unfinished { folder: here() }),
            _ => return Err(OpenError::NoStore { folder: here() }),
        };
        let partitions = NonZeroU16::new(identity.partitions)
            .ok_or_else(|| Damage::new("meta", b"store", "a store has at least one partition"))?;
        let behind = Behind::after(Applied::default());
        let mut reader = Self { journal, tables, schema, identity, partitions, behind };
        let journal_last = reader.view().map_err(|error| OpenError::unread(Environment::Tables, error))?.group();
        match promised {
            Some((store, acknowledged)) if store == identity.store && acknowledged > journal_last => {
                Err(OpenError::Shorter { journal_last, acknowledged })
            }
            _ => Ok(reader),
        }
    }

    /// The store's name for ever.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.identity.store
    }

    /// How many partitions the store was made with.
    #[must_use]
    pub const fn partitions(&self) -> NonZeroU16 {
        self.partitions
    }

    /// The store as it is now: everything that is durable, as of one instant. To be dropped soon, and never kept while
    /// something is waited for: whoever writes cannot use again what it frees meanwhile, and its files grow.
    ///
    /// Reads what has come to the journal since the last time; may wait for the disk.
    ///
    /// # Errors
    ///
    /// Damage to a group of the journal, or what LMDB says.
    pub fn view(&mut self) -> Result<View<'_>, ReadError> {
        // The journal first. What is cut off from it is in the tables by then, so nothing is missing between the two;
        // and if the tables are further than it, they are whole by themselves.
        let journal = self.journal.snapshot()?;
        let snapshot = self.tables.snapshot()?;
        let applied = snapshot.applied()?;
        if applied.group != self.behind.applied.group {
            self.behind = Behind::after(applied);
        }
        let Behind { tail, last, chain, .. } = &mut self.behind;
        let mut refused = None;
        let (from, before) = (last.next(), *chain);
        self.journal.walk(&journal, from, before, |entry| {
            (*last, *chain) = (entry.group, entry.chain);
            match tail.add(entry, self.schema, self.identity) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    refused = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match refused {
            None => Ok(View { snapshot, behind: &self.behind }),
            Some(error) => {
                // The next look begins anew.
                self.behind = Behind::after(Applied::default());
                Err(match error {
                    OpenError::Damaged { table, key, reason } => ReadError::Damaged { table, key, reason },
                    other => ReadError::Storage { reason: other.to_string() },
                })
            }
        }
    }
}

/// A store as of one instant; see [`Reader::view`].
pub struct View<'r> {
    snapshot: Snapshot<'r>,
    behind: &'r Behind,
}

impl View<'_> {
    /// The last group that is seen.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.behind.last
    }

    /// Everything up to this position is seen.
    #[must_use]
    pub const fn durable(&self) -> Position {
        self.behind.tail.last
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// Damage to this record.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        match self.behind.tail.folded.get(key) {
            Known::Value(value) => Ok(Some(value)),
            Known::Deleted => Ok(None),
            Known::Unknown => self.snapshot.get(key),
        }
    }

    /// Visits every record of a table in key order, until `visit` breaks. It must not wait for anything.
    ///
    /// # Errors
    ///
    /// Damage to a record, after those before it were visited.
    pub fn scan(&self, table: &Table, mut visit: impl FnMut(&Key, &[u8]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let range = Range::of(table);
        let changes = changes_of([&self.behind.tail.folded], &range, usize::MAX);
        visit_all(changes, &self.snapshot, &range, &mut visit)
    }

    /// Reads a step of a range, as [`Store::range`](crate::Store::range).
    ///
    /// # Errors
    ///
    /// Damage to one of these records.
    pub fn range(&self, range: &Range, records_max: usize, bytes_max: usize) -> Result<RangeStep, ReadError> {
        let changes = changes_of([&self.behind.tail.folded], range, records_max.max(1));
        step(changes, &self.snapshot, range, records_max, bytes_max)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reader").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("View").field("group", &self.group()).finish_non_exhaustive()
    }
}
