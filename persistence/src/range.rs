//! Which records of a table are to be read, and in which direction. Pure.

use std::ops::Bound;

use bytes::Bytes;

use crate::ids::Partition;
use crate::key::Key;
use crate::table::Table;

/// Records of a table, one after another, in the order of their keys or against it.
///
/// ```
/// use everpost_persistence::{Partition, Range, Table};
///
/// const LETTERS: Table = Table::queue(1, "letters", 1);
/// // The newest letters of a partition first.
/// let range = Range::of(&LETTERS).within(Partition(3)).backwards();
/// # let _ = range;
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is read before `Store::range`"]
pub struct Range {
    table: Table,
    partition: Option<Partition>,
    start: Bound<Key>,
    is_backwards: bool,
}

/// What one bounded step through a range has read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RangeStep {
    /// The records, in the direction of the range. They may be fewer than were asked for although more follow: none,
    /// even, where many were deleted.
    pub records: Vec<(Key, Bytes)>,
    /// What is left of the range; `None` at its end.
    pub rest: Option<Range>,
}

impl Range {
    /// All records of a table, in the order of their keys.
    pub const fn of(table: &Table) -> Self {
        Self { table: *table, partition: None, start: Bound::Unbounded, is_backwards: false }
    }

    /// Only those of one partition.
    ///
    /// # Panics
    ///
    /// If the table is declared without partitions: a defect of the caller.
    pub fn within(self, partition: Partition) -> Self {
        assert!(self.table.id().is_partitioned(), "table `{}` has no partitions", self.table.name());
        Self { partition: Some(partition), ..self }
    }

    /// Against the order of their keys.
    pub const fn backwards(self) -> Self {
        Self { is_backwards: true, ..self }
    }

    /// From this key on, in the direction of the range, whether there is such a record or not.
    ///
    /// # Panics
    ///
    /// If the key is one of another table: a defect of the caller.
    pub fn from(self, key: Key) -> Self {
        self.starting(Bound::Included(key))
    }

    /// From behind this key on, as [`from`](Self::from).
    ///
    /// # Panics
    ///
    /// As `from` does.
    pub fn after(self, key: Key) -> Self {
        self.starting(Bound::Excluded(key))
    }

    fn starting(self, start: Bound<Key>) -> Self {
        let (Bound::Included(key) | Bound::Excluded(key)) = start else { return Self { start, ..self } };
        assert!(key.table() == self.table.id(), "{key:?} is no key of table `{}`", self.table.name());
        Self { start, ..self }
    }

    pub(crate) const fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) const fn is_backwards(&self) -> bool {
        self.is_backwards
    }

    /// The least key and the greatest one.
    pub(crate) fn bounds(&self) -> (Bound<Key>, Bound<Key>) {
        let edge = |fill| self.partition.map(|partition| Bound::Included(Key::edge(&self.table, partition, fill)));
        let (least, greatest) = (edge(0x00).unwrap_or(Bound::Unbounded), edge(0xFF).unwrap_or(Bound::Unbounded));
        if self.is_backwards {
            (least, tighter(greatest, self.start, |start, end| start < end))
        } else {
            (tighter(least, self.start, |start, end| start > end), greatest)
        }
    }
}

/// The start, unless it is beyond the edge of the partition.
fn tighter(edge: Bound<Key>, start: Bound<Key>, is_within: impl Fn(Key, Key) -> bool) -> Bound<Key> {
    match (edge, start) {
        (_, Bound::Unbounded) => edge,
        (Bound::Unbounded, _) => start,
        (Bound::Included(edge_key) | Bound::Excluded(edge_key), Bound::Included(key) | Bound::Excluded(key)) => {
            if key == edge_key || is_within(key, edge_key) { start } else { edge }
        }
    }
}

/// Whether a key lies between two bounds.
pub(crate) fn is_between(key: &Key, (least, greatest): &(Bound<Key>, Bound<Key>)) -> bool {
    let is_above = match least {
        Bound::Included(least) => key >= least,
        Bound::Excluded(least) => key > least,
        Bound::Unbounded => true,
    };
    let is_below = match greatest {
        Bound::Included(greatest) => key <= greatest,
        Bound::Excluded(greatest) => key < greatest,
        Bound::Unbounded => true,
    };
    is_above && is_below
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declared;
    use crate::ids::Position;

    #[test]
    fn a_start_beyond_the_partition_does_not_widen_it() {
        let key = |partition, position| declared::inbox(Partition(partition), Position(position));
        let range = || Range::of(&declared::INBOX).within(Partition(3));
        let is_in = |range: Range, key: Key| is_between(&key, &range.bounds());
        for (range, inside, outside) in [
            (range(), vec![key(3, 0), key(3, u64::MAX)], vec![key(2, u64::MAX), key(4, 0)]),
            (range().from(key(3, 5)), vec![key(3, 5), key(3, 6)], vec![key(3, 4), key(4, 9)]),
            (range().after(key(3, 5)), vec![key(3, 6)], vec![key(3, 5), key(4, 6)]),
            (range().from(key(2, 5)), vec![key(3, 0)], vec![key(2, 5), key(2, 9)]),
            (range().from(key(4, 5)), vec![], vec![key(3, 9), key(4, 5), key(4, 9)]),
            (range().backwards().from(key(3, 5)), vec![key(3, 5), key(3, 0)], vec![key(3, 6), key(2, 1)]),
            (range().from(key(3, 5)).backwards(), vec![key(3, 5), key(3, 0)], vec![key(3, 6), key(2, 1)]),
            (range().backwards().after(key(4, 5)), vec![key(3, 9)], vec![key(4, 5), key(4, 4), key(2, 9)]),
        ] {
            assert!(inside.into_iter().all(|key| is_in(range, key)), "{range:?}");
            assert!(outside.into_iter().all(|key| !is_in(range, key)), "{range:?}");
        }
    }
}
