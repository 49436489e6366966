//! What the journal holds beyond the tables.

use crate::batch::{Batch, Change};
use crate::error::{Damage, OpenError};
use crate::files::Folder;
use crate::fold::Folded;
use crate::ids::{Group, Position};
use crate::journal::Journal;
use crate::meta::Identity;
use crate::reach::Reach;
use crate::slots::Promise;
use crate::table::Schema;
use crate::tables::Tables;

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
    journal: &mut Journal,
    tables: &Tables,
) -> Result<Replayed, OpenError> {
    let applied = tables.applied()?;
    let (mut tail, mut groups) = (Folded::default(), 0);
    journal.replay(applied, |batch, chain| {
        refuse_impossible(&batch, schema, identity)?;
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
