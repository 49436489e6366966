//! What memory knows of a record.

use bytes::Bytes;

/// What a fold knows about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has this value.
    Value(Bytes),
    /// It was deleted.
    Deleted,
    /// Nothing: look further.
    Unknown,
}

impl From<&Option<Bytes>> for Known {
    fn from(value: &Option<Bytes>) -> Self {
        value.as_ref().map_or(Self::Deleted, |value| Self::Value(value.clone()))
    }
}
