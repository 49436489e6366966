//! What memory says of a range, in its order.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::Bytes;

use crate::fold::Folded;
use crate::key::Key;
use crate::range::{Range, is_between};

/// The changes of a range, those of newer layers over those of older ones.
pub(crate) struct Changes {
    pub(super) changes: Vec<(Key, Option<Bytes>)>,
    /// The last of them, if there are more behind it.
    pub(super) reaches: Option<Key>,
}

/// Collects the first changes of a range, those with the newest value first.
struct First<'l> {
    bounds: (Bound<Key>, Bound<Key>),
    is_backwards: bool,
    max: usize,
    /// In order, and each key once, up to where it was last put in order.
    changes: Vec<(Key, Option<&'l Bytes>)>,
    /// There are more, behind this one.
    reaches: Option<Key>,
}

impl<'l> First<'l> {
    /// Adds a change, unless it is not of the range or there are enough before it. What is known of its key is newer.
    fn note(&mut self, key: Key, value: Option<&'l Bytes>) {
        if !is_between(&key, &self.bounds) || self.reaches.is_some_and(|reaches| self.order(&key, &reaches).is_gt()) {
            return;
        }
        self.changes.push((key, value));
        if self.changes.len() / 2 >= self.max {
            self.put_in_order();
        }
    }

    fn put_in_order(&mut self) {
        let mut changes = std::mem::take(&mut self.changes);
        // Stable, so that of one key the newest comes first, and stays.
        changes.sort_by(|(one, _), (other, _)| self.order(one, other));
        changes.dedup_by_key(|&mut (key, _)| key);
        if changes.len() > self.max {
            changes.truncate(self.max);
            self.reaches = changes.last().map(|&(key, _)| key);
        }
        self.changes = changes;
    }

    fn order(&self, one: &Key, other: &Key) -> Ordering {
        let order = one.cmp(other);
        if self.is_backwards { order.reverse() } else { order }
    }
}

/// The first changes of a range, so many at most: values are not touched but for those. It looks at all changes of the
/// table, since they are in no order; those of the first layer are the newest.
pub(crate) fn changes_of<'l>(
    layers: impl IntoIterator<Item = &'l Folded>,
    range: &Range,
    changes_max: usize,
) -> Changes {
    let (table, bounds, is_backwards) = (range.table().id(), range.bounds(), range.is_backwards());
    let mut first = First { bounds, is_backwards, max: changes_max, changes: Vec::new(), reaches: None };
    for layer in layers {
        layer.changes(table).for_each(|(key, value)| first.note(key, value));
        if let Some(queue) = table.queue() {
            // What came after the deletion of its record is known by now, and stays.
            let deleted = layer.changes(queue).filter(|(_, value)| value.is_none());
            deleted.filter_map(|(key, _)| key.companion()).for_each(|key| first.note(key, None));
        }
    }
    first.put_in_order();
    let First { changes, reaches, .. } = first;
    Changes { changes: changes.into_iter().map(|(key, value)| (key, value.cloned())).collect(), reaches }
}
