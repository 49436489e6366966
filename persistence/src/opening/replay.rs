//! What the journal holds beyond the tables.

use std::ops::ControlFlow;

use crate::batch::{Batch, Change};
use crate::error::{BatchError, Damage, Environment, OpenError};
use crate::files::Folder;
use crate::fold::Folded;
use crate::ids::{Group, Position};
use crate::log::{Log, LogEntry, damage};
use crate::meta::{Applied, Identity};
use crate::reach::Reach;
use crate::slots::Promise;
use crate::table::Schema;

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
    schema: Schema,
    identity: Identity,
    log: &impl Log,
    applied: Applied,
) -> Result<Replayed, OpenError> {
    let mut tail = Tail::after(applied);
    let mut refused = None;
    let read = log.read(applied.group.next(), |entry| match tail.add(entry, schema, identity) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            refused = Some(error);
            ControlFlow::Break(())
        }
    });
    read.map_err(|error| OpenError::unread(Environment::Journal, error))?;
    if let Some(error) = refused {
        return Err(error);
    }
    let journal_last = log.last();
    if let Some((store, acknowledged)) = Promise::read(folder.path())?
        && store == identity.store
        && acknowledged > journal_last
    {
        return Err(OpenError::Shorter { journal_last, acknowledged });
    }
    let Tail { folded: tail, groups, last } = tail;
    Ok(Replayed { applied: applied.group, tail, groups, last })
}

/// What the log holds behind the tables, as far as it was read.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) folded: Folded,
    groups: u64,
    /// The last position, of the tables if there is nothing behind them.
    pub(crate) last: Position,
}

impl Tail {
    /// Nothing behind tables that are so far.
    pub(crate) fn after(applied: Applied) -> Self {
        Self { folded: Folded::default(), groups: 0, last: applied.position }
    }

    /// Adds the next group.
    pub(crate) fn add(&mut self, entry: LogEntry, schema: Schema, identity: Identity) -> Result<(), OpenError> {
        let LogEntry { group, batch, chain } = entry;
        let batch = Batch::decode(&batch, &schema).map_err(|error| match error {
            BatchError::Malformed { reason } => OpenError::from(damage(group, reason)),
            BatchError::UnknownTable { number } => OpenError::UnknownTable { table: format!("number {number}") },
        })?;
        if batch.group != group || batch.first <= self.last {
            return Err(damage(group, "the batch is of another group").into());
        }
        if batch.shard.is_some_and(|shard| shard != identity.store) {
            return Err(damage(group, "the batch is of another shard").into());
        }
        refuse_impossible(&batch, schema, identity)?;
        self.last = batch.last;
        self.groups += 1;
        self.folded.absorb(group, batch.first, batch.last, chain, batch.changes.into_iter());
        Ok(())
    }
}

/// Refuses a group with a record that nobody can have written in it.
fn refuse_impossible(batch: &Batch, schema: Schema, identity: Identity) -> Result<(), Damage> {
    let mut reach = Reach::new(schema);
    for Change { key, value } in &batch.changes {
        reach.note(key)?;
        // The records of queues are written once.
        if key.table().is_queue() && value.is_some() && key.position() < Some(batch.first) {
            return Err(schema.table(key.table()).damage(key, "its position was given out before"));
        }
    }
    reach.check(identity.partitions, batch.last)
}
