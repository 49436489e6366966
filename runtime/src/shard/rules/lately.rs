//! What was read lately, so that it need not be read again: as many values as there is room for, the newest. Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// About what an entry takes beside its value.
const ENTRY_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct Lately<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// From the oldest on.
    order: BTreeMap<u64, K>,
    last: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    number: u64,
    bytes: usize,
}

impl<K: Copy + Eq + Hash, V> Lately<K, V> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), last: 0, bytes: 0, bytes_max }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Notes a value of so many bytes, in the place of what was known under its key. Older ones leave for it, unless
    /// there is no room for it at all.
    pub(crate) fn note(&mut self, key: K, value: V, bytes: usize) {
        self.forget(&key);
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        if bytes > self.bytes_max {
            return;
        }
        self.last += 1;
        let number = self.last;
        self.entries.insert(key, Entry { value, number, bytes });
        self.order.insert(number, key);
        self.bytes += bytes;
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = *oldest;
            self.forget(&oldest);
        }
    }

    pub(crate) fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.number);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_as_far_as_there_is_room() {
        let mut lately = Lately::new(3 * (ENTRY_BYTES + 10));
        (1..=4).for_each(|key| lately.note(key, key * 10, 10));
        assert_eq!([1, 2, 3, 4].map(|key| lately.get(&key).copied()), [None, Some(20), Some(30), Some(40)]);
        lately.note(2, 21, 10);
        lately.note(5, 50, 10);
        assert_eq!([2, 3, 4, 5].map(|key| lately.get(&key).copied()), [Some(21), None, Some(40), Some(50)]);
        lately.note(6, 60, 2 * ENTRY_BYTES + 30);
        assert_eq!([2, 4, 5, 6].map(|key| lately.get(&key).copied()), [None, None, None, Some(60)]);
        lately.note(6, 61, usize::MAX);
        assert_eq!((lately.get(&6), lately.bytes, lately.order.len()), (None, 0, 0), "there is no room for it at all");
    }

    #[test]
    fn nothing_is_left_of_what_is_forgotten() {
        let mut lately = Lately::new(1 << 20);
        for _ in 0..10_000 {
            lately.note(1, 1, 100);
            lately.forget(&1);
        }
        assert_eq!((lately.get(&1), lately.bytes, lately.order.len()), (None, 0, 0));
    }
}
