//! What is to be done at which moment, in order. Pure: the moment is handed in.

use std::collections::BTreeMap;

use crate::base::clock::Steady;

/// Names what is set for a moment. Two that are set for one moment are in the order in which they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entry {
    pub(crate) moment: Steady,
    number: u64,
}

#[derive(Debug)]
pub(crate) struct Index<T> {
    entries: BTreeMap<Entry, T>,
    numbers: u64,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), numbers: 0 }
    }
}

impl<T> Index<T> {
    /// Sets `what` for `moment`. True when nothing is due before it.
    pub(crate) fn set(&mut self, moment: Steady, what: T) -> (Entry, bool) {
        self.numbers += 1;
        let entry = Entry { moment, number: self.numbers };
        let is_first = self.first().is_none_or(|first| moment < first);
        self.entries.insert(entry, what);
        (entry, is_first)
    }

    /// Takes out what was set; nothing happens when it is not there any more.
    pub(crate) fn remove(&mut self, entry: Entry) -> Option<T> {
        self.entries.remove(&entry)
    }

    /// When the first is due.
    pub(crate) fn first(&self) -> Option<Steady> {
        self.entries.first_key_value().map(|(entry, _)| entry.moment)
    }

    /// Takes out the first that is due.
    pub(crate) fn next(&mut self, now: Steady) -> Option<(Entry, T)> {
        let first = self.entries.first_entry()?;
        (first.key().moment <= now).then(|| first.remove_entry())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_set_for_one_moment_is_done_in_the_order_in_which_it_was_set() {
        let mut index = Index::default();
        index.set(Steady(5), 'b');
        index.set(Steady(5), 'c');
        assert!(index.set(Steady(4), 'a').1 && !index.set(Steady(4), 'z').1);
        let done: Vec<_> = std::iter::from_fn(|| index.next(Steady(5))).map(|(_, what)| what).collect();
        assert_eq!((done, index.first()), (vec!['a', 'z', 'b', 'c'], None));
    }

    proptest! {
        /// Whatever is set, moved and taken out: each is done once, not before its moment, and not after a later one.
        #[test]
        fn each_is_done_once_at_its_moment(steps in prop::collection::vec((0u8..3, 0u64..50, 0usize..20), 0..200)) {
            let (mut index, mut now) = (Index::default(), 0);
            let mut waiting: BTreeMap<usize, Entry> = BTreeMap::new();
            for (number, (kind, at, which)) in steps.into_iter().enumerate() {
                match kind {
                    0 => drop(waiting.insert(number, index.set(Steady(at), number).0)),
                    1 => {
                        let moved = waiting.keys().copied().nth(which);
                        if let Some(moved) = moved {
                            prop_assert_eq!(index.remove(waiting[&moved]), Some(moved));
                            waiting.insert(moved, index.set(Steady(at), moved).0);
                        }
                    }
                    _ => {
                        now += at;
                        let mut last = 0;
                        while let Some((entry, what)) = index.next(Steady(now)) {
                            prop_assert_eq!(waiting.remove(&what), Some(entry));
                            prop_assert!(entry.moment.0 <= now && entry.moment.0 >= last);
                            last = entry.moment.0;
                        }
                        prop_assert!(waiting.values().all(|entry| entry.moment.0 > now));
                    }
                }
                prop_assert_eq!(index.first(), waiting.values().map(|entry| entry.moment).min());
            }
        }
    }
}
