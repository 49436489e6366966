//! Brings a store back to where its last durable group left it, or makes a new one; what only reads a store shares the
//! steps that change nothing.
//!
//! The order in which a store is made: journal, tables, first epoch. A crash in between leaves a journal that was
//! never run, which is how the next opening tells a torn creation, which it completes, from tables that got lost,
//! which it refuses.
//!
//! A store of an older format is brought up to date once everything was checked: the commit of the journal that starts
//! the run raises its format, then the tables follow. A crash in between leaves two formats, which the next opening
//! accepts and completes; nothing of the new format can have been written before both are raised.

use crate::config::Config;
use crate::error::{Environment, OpenError};
use crate::fold::Folded;
use crate::folder::Folder;
use crate::ids::{Epoch, Group, Position, StoreId};
use crate::journal::Journal;
use crate::meta::{FORMAT_VERSION, Identity};
use crate::tables::Tables;

/// A store that is whole again, with a durable epoch, before its threads run.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) journal: Journal,
    pub(crate) tables: Tables,
    pub(crate) identity: Identity,
    pub(crate) epoch: Epoch,
    /// How far the tables are.
    pub(crate) applied: Group,
    /// What the tables lack.
    pub(crate) tail: Folded,
    /// The last position that was durable.
    pub(crate) last: Position,
    pub(crate) opened: Opened,
}

/// How a store was found when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Whether the last run was closed with [`Store::close`](crate::Store::close), or there was none.
    pub clean: bool,
    /// Whether the store was made by this opening.
    pub created: bool,
    /// Groups of the journal that the tables did not include yet; nothing is wrong with any number of them.
    pub replayed_groups: u64,
    /// The last position that was durable; 0 in a new store.
    pub durable: Position,
}

/// Opens both halves of the store, checks that they belong together, and raises the epoch.
pub(crate) fn recover(folder: &Folder, config: &Config) -> Result<Recovered, OpenError> {
    let mut journal = Journal::open(&folder.journal(), config.journal_map_bytes, config.reserve_disk_bytes)?;
    let tables = Tables::open(&folder.tables(), config.tables_map_bytes, config.reserve_disk_bytes)?;
    let (identity, created) = identify(&journal, &tables, config)?;
    let Replayed { applied, tail, groups, last } = replay(&mut journal, &tables)?;
    let clean = journal.is_clean()?;
    let opened = Opened { clean, created, replayed_groups: groups, durable: last };

    let before = journal.epoch()?.map_or(0, |epoch| epoch.counter);
    let epoch = Epoch { counter: before + 1, nonce: u64::from_be_bytes(random()?) };
    let format = journal.format()?;
    journal.start_run(epoch)?;
    tables.raise_format()?;
    if let Some(from) = format.filter(|&format| format < FORMAT_VERSION) {
        tracing::info!(
            from,
            to = FORMAT_VERSION,
            "the store was brought to a newer format, which older programs refuse"
        );
    }
    Ok(Recovered { journal, tables, identity, epoch, applied, tail, last, opened })
}

/// What the two halves of a store are to each other.
#[derive(Debug)]
pub(crate) enum Found {
    Store(Identity),
    /// A creation that was interrupted when only the journal was made.
    Unfinished(Identity),
    Nothing,
}

/// Looks what the halves are; `None` is one whose files are not there. Refuses those that do not belong together.
pub(crate) fn find(journal: Option<&Journal>, tables: Option<&Tables>) -> Result<Found, OpenError> {
    let in_journal = journal.map(Journal::identity).transpose()?.flatten();
    let in_tables = tables.map(Tables::identity).transpose()?.flatten();
    match (in_journal, in_tables) {
        (Some(in_journal), Some(in_tables)) if in_journal.store == in_tables.store => Ok(Found::Store(in_journal)),
        (Some(in_journal), Some(in_tables)) => {
            Err(OpenError::StoreIdMismatch { journal: in_journal.store, tables: in_tables.store })
        }
        (Some(identity), None) => match journal.map(Journal::epoch).transpose()?.flatten() {
            Some(_) => Err(OpenError::Missing { environment: Environment::Tables }),
            None => Ok(Found::Unfinished(identity)),
        },
        (None, Some(_)) => Err(OpenError::Missing { environment: Environment::Journal }),
        (None, None) => Ok(Found::Nothing),
    }
}

/// What a store holds beyond its tables.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// How far the tables are.
    pub(crate) applied: Group,
    /// What the tables lack.
    pub(crate) tail: Folded,
    /// How many groups that is.
    pub(crate) groups: u64,
    /// The last position that is durable.
    pub(crate) last: Position,
}

/// Checks the journal, and folds what the tables lack.
pub(crate) fn replay(journal: &mut Journal, tables: &Tables) -> Result<Replayed, OpenError> {
    let applied = tables.applied()?;
    let (mut tail, mut groups) = (Folded::default(), 0);
    journal.replay(applied, |batch| {
        tail.absorb(batch.group, batch.first, batch.last, batch.changes.into_iter());
        groups += 1;
    })?;
    let last = if tail.is_empty() { applied.position } else { tail.last_position };
    Ok(Replayed { applied: applied.group, tail, groups, last })
}

/// What the store is, and whether it was made just now.
fn identify(journal: &Journal, tables: &Tables, config: &Config) -> Result<(Identity, bool), OpenError> {
    let configured = config.partitions.get();
    let (identity, created) = match find(Some(journal), Some(tables))? {
        Found::Store(identity) => (identity, false),
        Found::Unfinished(identity) => {
            tables.initialize(identity)?;
            (identity, true)
        }
        Found::Nothing => {
            let identity = Identity { store: StoreId(u128::from_be_bytes(random()?)), partitions: configured };
            journal.initialize(identity)?;
            tables.initialize(identity)?;
            (identity, true)
        }
    };
    if identity.partitions != configured {
        return Err(OpenError::PartitionCount { stored: identity.partitions, configured });
    }
    Ok((identity, created))
}

/// Bytes that nobody can guess or repeat.
fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let count = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += count.map_err(|error| OpenError::System(error.into()))?;
    }
    Ok(bytes)
}
