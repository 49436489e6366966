//! The two halves of a store, and whether they belong together.

use crate::error::{Environment, OpenError};
use crate::log::Journal;
use crate::meta::Identity;
use crate::tables::Tables;

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
            Err(OpenError::ShardMismatch { journal: in_journal.store, tables: in_tables.store })
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
