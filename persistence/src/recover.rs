//! Brings a store back to where its last durable group left it, once there is one; what only reads a store shares the
//! steps that change nothing.
//!
//! A store of an older format is brought up to date once everything was checked: the commit of the journal that starts
//! the run raises its format, then the tables follow. A crash in between leaves two formats, which the next opening
//! accepts and completes; nothing of the new format can have been written before both are raised.

use crate::batch::{Batch, Change};
use crate::config::Config;
use crate::error::{Damage, Environment, OpenError};
use crate::fold::Folded;
use crate::folder::Folder;
use crate::ids::{Epoch, Group, Position};
use crate::journal::Journal;
use crate::key::Key;
use crate::making;
use crate::meta::{FORMAT_VERSION, Identity};
use crate::reach::Reach;
use crate::slots::Promise;
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
    let created = making::make_unless_there(folder, config)?;
    let mut journal = Journal::open(&folder.journal(), config.journal_map_bytes)?;
    let (tables, sums) = Tables::open(&folder.tables(), config.tables_map_bytes)?;
    let Found::Store(identity) = find(Some(&journal), Some(&tables))? else {
        return Err(OpenError::NoStore { folder: folder.path().to_path_buf() });
    };
    let configured = config.partitions.get();
    if identity.partitions != configured {
        return Err(OpenError::PartitionCount { stored: identity.partitions, configured });
    }
    let Replayed { applied, tail, groups, last } = replay(folder, identity, &mut journal, &tables)?;
    let clean = journal.is_clean()?;
    let opened = Opened { clean, created, replayed_groups: groups, durable: last };

    let before = journal.epoch()?.map_or(0, |epoch| epoch.counter);
    let epoch = Epoch { counter: before + 1, nonce: u64::from_be_bytes(random()?) };
    let format = journal.format()?;
    journal.start_run(epoch)?;
    tables.raise_format(&sums)?;
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
    /// A making that was cut off: nothing was ever stored.
    Unfinished,
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
        (Some(_), None) => match journal.map(Journal::epoch).transpose()?.flatten() {
            Some(_) => Err(OpenError::Missing { environment: Environment::Tables }),
            // Older builds made the halves in their place, the journal first.
            None => Ok(Found::Unfinished),
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

/// Checks the journal, and folds what the tables lack. Refuses one that ends before what was acknowledged.
pub(crate) fn replay(
    folder: &Folder,
    identity: Identity,
    journal: &mut Journal,
    tables: &Tables,
) -> Result<Replayed, OpenError> {
    let applied = tables.applied()?;
    let (mut tail, mut groups) = (Folded::default(), 0);
    journal.replay(applied, |batch, chain| {
        refuse_impossible(&batch, identity)?;
        tail.absorb(batch.group, batch.first, batch.last, chain, batch.changes.into_iter());
        groups += 1;
        Ok(())
    })?;
    let journal_last = journal.last();
    if let Some((store, acknowledged)) = Promise::read(folder.path())?
        && store == identity.store
        && acknowledged > journal_last
    {
        return Err(OpenError::Shorter { journal_last, acknowledged });
    }
    let last = if tail.is_empty() { applied.position } else { tail.last_position };
    Ok(Replayed { applied: applied.group, tail, groups, last })
}

/// Refuses a group with a record that nobody can have written in it.
fn refuse_impossible(batch: &Batch, identity: Identity) -> Result<(), Damage> {
    let mut reach = Reach::default();
    for Change { key, value } in &batch.changes {
        reach.note(key)?;
        // The two queues are written once.
        if let Key::Inbox { position, .. } | Key::Outbox { position, .. } = *key
            && value.is_some()
            && position < batch.first
        {
            return Err(key.damage("its position was given out before"));
        }
    }
    reach.check(identity.partitions, batch.last)
}

/// Bytes that nobody can guess or repeat.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let count = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += count.map_err(|error| OpenError::System(error.into()))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
