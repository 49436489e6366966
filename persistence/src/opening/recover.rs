//! Brings a store back to where its last durable group left it, once there is one; what only reads a store shares the
//! steps that change nothing.
//!
//! A store of an older format is brought up to date once everything was checked: the commit of the journal that starts
//! the run raises its format, then the tables follow. A crash in between leaves two formats, which the next opening
//! accepts and completes; nothing of the new format can have been written before both are raised.

use std::fs::File;

use super::halves::{Found, find};
use super::making::make_unless_there;
use super::random::random;
use super::replay::{Replayed, replay};
use crate::config::Config;
use crate::error::OpenError;
use crate::files::Folder;
use crate::fold::Folded;
use crate::ids::{Epoch, Group, Position};
use crate::log::Journal;
use crate::meta::Identity;
use crate::table::Schema;
use crate::tables::Tables;

/// A store that is whole again, with a durable epoch, before its threads run.
#[derive(Debug)]
pub(crate) struct Recovered<L> {
    pub(crate) log: L,
    /// The file that the log lies in.
    pub(crate) journal_file: File,
    /// Of LMDB.
    pub(crate) page_bytes: u32,
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
pub(crate) fn recover(folder: &Folder, config: &Config, schema: Schema) -> Result<Recovered<Journal>, OpenError> {
    let created = make_unless_there(folder, config, schema)?;
    let mut journal = Journal::open(&folder.journal(), config.journal_map_bytes, schema)?;
    let (tables, sums) = Tables::open(&folder.tables(), config.tables_map_bytes, schema)?;
    let Found::Store(identity) = find(Some(&journal), Some(&tables))? else {
        return Err(OpenError::NoStore { folder: folder.path().to_path_buf() });
    };
    let configured = config.partitions.get();
    if identity.partitions != configured {
        return Err(OpenError::PartitionCount { stored: identity.partitions, configured });
    }
    let applied = tables.applied()?;
    journal.verify(applied)?;
    let Replayed { applied, tail, groups, last } = replay(folder, schema, identity, &journal, applied)?;
    let clean = journal.is_clean()?;
    let opened = Opened { clean, created, replayed_groups: groups, durable: last };

    let before = journal.epoch()?.map_or(0, |epoch| epoch.counter);
    let epoch = Epoch { counter: before + 1, nonce: u64::from_be_bytes(random()?) };
    let format = journal.format()?;
    journal.start_run(identity.store, epoch)?;
    tables.raise_format(&sums)?;
    if let Some(from) = format.filter(|&format| format < schema.format()) {
        tracing::info!(
            from,
            to = schema.format(),
            "the store was brought to a newer format, which older programs refuse"
        );
    }
    let (journal_file, page_bytes) = (journal.file()?, journal.page_bytes());
    Ok(Recovered { log: journal, journal_file, page_bytes, tables, identity, epoch, applied, tail, last, opened })
}

#[cfg(test)]
mod tests;
