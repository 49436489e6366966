//! A record that is not what was written.

use std::fmt;

/// A key as it is stored; shown as hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBytes(pub Box<[u8]>);

/// A record that is not what was written.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {key} of table `{table}` is damaged: {reason}")]
#[non_exhaustive]
pub struct Damage {
    /// The table, or `journal`, or the `meta` table of either environment.
    pub table: &'static str,
    /// The key of the record.
    pub key: KeyBytes,
    /// What does not hold.
    pub reason: &'static str,
}

impl Damage {
    pub(crate) fn new(table: &'static str, key: &[u8], reason: &'static str) -> Self {
        Self { table, key: KeyBytes(key.into()), reason }
    }
}

impl fmt::Display for KeyBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyBytes({self})")
    }
}

crate::error_text::debug_as_text!(Damage);
