//! The short keys of inbox and outbox records.

use std::hash::{Hash, Hasher};

use crate::ids::{Partition, Position};
use crate::key::Key;

/// The key of an inbox or outbox record, short, and quick to find: a position is given out once over both tables, so it
/// alone is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) position: Position,
    pub(super) partition: Partition,
    pub(super) outbox: bool,
}

impl Queued {
    /// `None` if the key is of another table.
    pub(super) fn of(key: &Key) -> Option<Self> {
        match *key {
            Key::Inbox { partition, position } => Some(Self { position, partition, outbox: false }),
            Key::Outbox { partition, position } => Some(Self { position, partition, outbox: true }),
            _ => None,
        }
    }

    pub(super) const fn key(&self) -> Key {
        let Self { position, partition, outbox } = *self;
        if outbox { Key::Outbox { partition, position } } else { Key::Inbox { partition, position } }
    }
}

impl Hash for Queued {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.position.hash(state);
    }
}
