//! Why bytes are no batch.

/// Why bytes could not be read as what a group is made of.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// They are not what was written.
    #[error("{reason}: compare the bytes with those that were written")]
    Malformed {
        /// What does not hold.
        reason: &'static str,
    },
    /// A change is one of a table that is not declared.
    #[error("a change is one of table number {number}, which this program does not know: use a newer program")]
    UnknownTable {
        /// The number of the table.
        number: u8,
    },
}

impl From<&'static str> for BatchError {
    fn from(reason: &'static str) -> Self {
        Self::Malformed { reason }
    }
}

crate::error_text::debug_as_text!(BatchError);
