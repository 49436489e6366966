//! Why a record could not be read.

use super::damage::{Damage, KeyBytes};

/// Why a record could not be read. Reading changes nothing.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record fails its check.
    #[error(
        "record {key} of table `{table}` is damaged ({reason}): other records are not affected; restore it from a \
         backup"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// The key of the record.
        key: KeyBytes,
        /// What does not hold.
        reason: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed: open it again to read")]
    Closed,
    /// LMDB refused.
    #[error("the tables could not be read: {reason}; nothing was changed; try again, and check the disk if it stays")]
    Storage {
        /// What LMDB said.
        reason: String,
    },
    /// The code that read it has panicked; a defect of this program.
    #[error(
        "the code that read from the store has panicked: nothing was changed, and other reads are not affected; report \
         this, with what the panic said"
    )]
    Panicked,
}

impl From<Damage> for ReadError {
    fn from(Damage { table, key, reason }: Damage) -> Self {
        Self::Damaged { table, key, reason }
    }
}

impl From<heed::Error> for ReadError {
    fn from(error: heed::Error) -> Self {
        Self::Storage { reason: error.to_string() }
    }
}

crate::error_text::debug_as_text!(ReadError);
