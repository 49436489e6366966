//! Why a record could not be read.

use super::damage::{Damage, KeyBytes};

/// Why a record could not be read. Reading changes nothing.
#[derive(thiserror::Error)]
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
