//! The short keys of the records of queues.

use std::hash::{Hash, Hasher};

use crate::ids::{Partition, Position};
use crate::key::Key;
use crate::table::TableId;

/// The key of a record of a queue, short, and quick to find: a position is given out once over all tables, so it alone
/// is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) position: Position,
    pub(super) partition: Partition,
    pub(super) table: TableId,
}

impl Queued {
    /// `None` if the table of the key is no queue.
    #[inline]
    pub(super) fn of(key: &Key) -> Option<Self> {
        let table = key.table();
        if !table.is_queue() {
            return None;
        }
        Some(Self { position: key.position()?, partition: key.partition()?, table })
    }

    #[inline]
    pub(super) const fn key(&self) -> Key {
        Key::queued(self.table, self.partition, self.position)
    }
}

impl Hash for Queued {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.position.hash(state);
    }
}
