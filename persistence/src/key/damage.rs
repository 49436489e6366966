//! A record that is known by its key to be damaged.

use super::encoded::Key;
use crate::error::Damage;
use crate::table::Table;

impl Table {
    /// What a caller says of a record of this table who knows what it means, and finds that nobody can have written it.
    #[must_use]
    pub fn damage(&self, key: &Key, reason: &'static str) -> Damage {
        Damage::new(self.name(), key.bytes(), reason)
    }
}
