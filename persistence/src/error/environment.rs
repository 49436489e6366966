//! Which half of a store an error is about.

use std::fmt;

/// One of the two LMDB environments of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Environment {
    /// The append-only log of groups.
    Journal,
    /// The same facts, materialized by the checkpointer.
    Tables,
}

impl fmt::Display for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Journal => "journal",
            Self::Tables => "tables",
        })
    }
}
