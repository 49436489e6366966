//! Records that nothing in memory goes with, or only what their writer has under a lock of its own.

use bytes::Bytes;
use everpost_persistence::{Key, Stage};

use super::Phases;
use crate::commit::size::Size;

/// One record is put or deleted: of a group's restarts, of a peer's store, of the node's clock.
#[derive(Debug)]
pub(crate) struct Record {
    key: Key,
    value: Option<Bytes>,
    /// The size of what is deleted, where it is large enough to count.
    removed: Option<usize>,
}

impl Record {
    pub(crate) fn put(key: Key, value: Bytes) -> Self {
        Self { key, value: Some(value), removed: None }
    }

    pub(crate) fn delete(key: Key) -> Self {
        Self { key, value: None, removed: None }
    }

    /// The same of a record of so many bytes, which makes room.
    pub(crate) fn delete_of(key: Key, bytes: usize) -> Self {
        Self { removed: Some(bytes), ..Self::delete(key) }
    }
}

impl Phases<'_> for Record {
    fn size(&self, size: &mut Size) {
        if let Some(value) = &self.value {
            size.put(value.len());
        }
        if let Some(removed) = self.removed {
            size.remove(removed);
        }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        match self.value.take() {
            Some(value) => stage.put(self.key, value),
            None => stage.delete(self.key),
        }
    }
}
