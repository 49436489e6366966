//! The changes of all tables whose records are set by their keys, each table by itself: whoever reads one table does
//! not pass the others.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::key::Key;
use crate::table::TableId;

/// What became of each record: its value, or that it was deleted.
type Changes = FxHashMap<Key, Option<Bytes>>;

#[derive(Debug, Default)]
pub(super) struct Rest {
    /// By number.
    tables: Vec<Changes>,
    len: usize,
}

impl Rest {
    /// Adds a change; returns the one that it overtakes.
    pub(super) fn insert(&mut self, key: Key, value: Option<Bytes>) -> Option<Option<Bytes>> {
        let number = usize::from(key.table().number());
        if self.tables.len() <= number {
            self.tables.resize_with(number + 1, Changes::default);
        }
        let old = self.tables[number].insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes a change out, if there is one.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Option<Bytes>> {
        let old = self.tables.get_mut(usize::from(key.table().number()))?.remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Option<Bytes>> {
        self.tables.get(usize::from(key.table().number()))?.get(key)
    }

    /// The changes of a table, in no order.
    pub(super) fn of_table(&self, table: TableId) -> impl Iterator<Item = (Key, Option<&Bytes>)> {
        let changes = self.tables.get(usize::from(table.number()));
        changes.into_iter().flatten().map(|(&key, value)| (key, value.as_ref()))
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}
