//! Where the newest change of each record is among many. Filled when somebody asks, and only with what has come since
//! somebody asked last: who never asks pays nothing, and who does pays once for each change.

use rustc_hash::FxHashMap;

use crate::batch::Change;
use crate::key::Key;

#[derive(Debug, Default)]
pub(super) struct Index {
    newest: FxHashMap<Key, usize>,
    /// How many changes were looked at.
    seen: usize,
}

impl Index {
    pub(super) fn clear(&mut self) {
        self.newest.clear();
        self.seen = 0;
    }

    /// The newest of the changes that says what becomes of a record. They are those of before, or more.
    pub(super) fn find(&mut self, changes: &[Change], key: &Key) -> Option<usize> {
        for (at, change) in changes.iter().enumerate().skip(self.seen) {
            self.newest.insert(change.key, at);
        }
        self.seen = changes.len();
        let own = self.newest.get(key).copied();
        let of_queue = || {
            let deleted = *self.newest.get(&key.queue()?)?;
            changes[deleted].value.is_none().then_some(deleted)
        };
        own.max(of_queue())
    }
}
