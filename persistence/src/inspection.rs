//! A store that is looked at as it lies: what `open` would find, without anything being changed.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use crate::error::{Damage, OpenError, ReadError};
use crate::files::Folder;
use crate::ids::{Position, ShardId};
use crate::key::Key;
use crate::log::Journal;
use crate::meta::Identity;
use crate::opening::{Found, Replayed, find, is_new, refuse_unmade, replay};
use crate::overlay::Overlay;
use crate::range::{Range, RangeStep};
use crate::store::Store;
use crate::table::{Schema, Table};
use crate::tables::Tables;

/// A store opened to be read: every durable record, those of the journal's tail included. It has no epoch of its own,
/// and does not change a byte of what it reads; the store keeps its format, and opens afterwards as if nobody had
/// looked.
///
/// The store is locked as long as this lives, as by [`Store::open`].
///
/// ```
/// use std::ops::ControlFlow;
/// use everpost_persistence::{Config, Schema, Store, Table};
///
/// const INBOX: Table = Table::queue(1, "inbox", 1);
/// const TABLES: Schema = Schema::new(&[INBOX]);
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// Store::open(folder, Config::default(), TABLES, || ())?.0.close()?;
///
/// let inspection = Store::inspect(folder, TABLES)?;
/// let mut waiting = 0;
/// inspection.scan(&INBOX, |_, _| {
///     waiting += 1;
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((inspection.partitions().get(), waiting), (64, 0));
/// # Ok(()) }
/// ```
pub struct Inspection {
    // Before the folder: the files are closed before the lock is given back.
    overlay: Overlay,
    id: ShardId,
    partitions: NonZeroU16,
    format: u32,
    durable: Position,
    _folder: Folder,
}

impl Store {
    /// Opens the store in `folder` to be read only, whatever its map sizes and partition count are. Blocks for as long
    /// as reading the journal takes.
    ///
    /// Nothing is made or changed, with one exception: a store without its lock file, which is what a copy of the two
    /// halves is, gets an empty one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), where it would refuse for what lies there; [`OpenError::NoStore`] and
    /// [`OpenError::Unfinished`] where it would make or complete a store.
    pub fn inspect(folder: &Path, schema: Schema) -> Result<Inspection, OpenError> {
        Inspection::open(folder, schema)
    }
}

impl Inspection {
    fn open(path: &Path, schema: Schema) -> Result<Self, OpenError> {
        let folder = Folder::lock_to_read(path)?;
        refuse_unmade(&folder)?;
        let journal = Journal::open_to_read(&folder.journal(), schema)?;
        let tables = Tables::open_to_read(&folder.tables(), schema)?;
        match (find(journal.as_ref(), tables.as_ref())?, journal, tables) {
            (Found::Store(identity), Some(journal), Some(tables)) => {
                Self::read(folder, schema, journal, tables, identity)
            }
            (found, ..) => {
                is_new(&folder)?;
                let folder = path.to_path_buf();
                Err(match found {
                    Found::Unfinished => OpenError::Unfinished { folder },
                    _ => OpenError::NoStore { folder },
                })
            }
        }
    }

    fn read(
        folder: Folder,
        schema: Schema,
        mut journal: Journal,
        tables: Tables,
        identity: Identity,
    ) -> Result<Self, OpenError> {
        let Identity { store: id, partitions } = identity;
        let partitions = NonZeroU16::new(partitions)
            .ok_or_else(|| Damage::new("meta", b"store", "a store has at least one partition"))?;
        let formats = [journal.format()?, tables.format()?];
        let format = formats.into_iter().flatten().min().expect("halves with an identity have a format");
        let applied = tables.applied()?;
        journal.verify(applied)?;
        let Replayed { tail, last: durable, .. } = replay(&folder, schema, identity, &journal, applied)?;
        Ok(Self { overlay: Overlay::new(tables, tail), id, partitions, format, durable, _folder: folder })
    }

    /// The store's name for ever.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.id
    }

    /// How many partitions the store was made with.
    #[must_use]
    pub const fn partitions(&self) -> NonZeroU16 {
        self.partitions
    }

    /// The format that the store is in, that of its older half. [`Store::open`] brings it to the newest.
    #[must_use]
    pub const fn format(&self) -> u32 {
        self.format
    }

    /// The last position that is durable; 0 in a store that was never written to.
    #[must_use]
    pub const fn durable(&self) -> Position {
        self.durable
    }

    /// Reads a durable record.
    ///
    /// # Errors
    ///
    /// Damage to this record.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        self.overlay.get(key)
    }

    /// Visits every durable record of a table in key order, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// Damage to a record, after those before it were visited.
    pub fn scan(&self, table: &Table, visit: impl FnMut(&Key, &[u8]) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.overlay.scan(table, visit)
    }

    /// Reads a step of a range, as [`Store::range`].
    ///
    /// # Errors
    ///
    /// Damage to one of these records.
    pub fn range(&self, range: &Range, records_max: usize, bytes_max: usize) -> Result<RangeStep, ReadError> {
        self.overlay.range(range, records_max, bytes_max)
    }
}

impl fmt::Debug for Inspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, format, durable, .. } = self;
        formatter
            .debug_struct("Inspection")
            .field("id", id)
            .field("format", format)
            .field("durable", durable)
            .finish_non_exhaustive()
    }
}
