//! What the tables hold, as a whole: for each table and partition how many records, and a sum over them. That a record
//! is not there is a claim like any other, and LMDB cannot be asked for it: a bit in a key, or an older page, and the
//! record is missing without a trace. So what was written is counted with it, and compared when the tables are opened.

use std::ops::Bound;

use rustc_hash::FxHashMap;

use crate::error::{Damage, OpenError};
use crate::hash::mixed;
use crate::integers::take_u64;
use crate::key::Key;
use crate::record::HEADER_BYTES;
use crate::table::{Schema, Table, TableId};

/// Of which table, and of which partition; 0 where a table has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    table: TableId,
    partition: u16,
}

/// Over the records of one table in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    records: u64,
    /// Modulo 2^64, so that a record can be taken off again.
    hash: u64,
}

/// Over all tables; those without a record are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sums(FxHashMap<Place, Sum>);

impl Place {
    pub(super) const BYTES: usize = 1 + 2;

    /// From which on [`next`](Self::next) comes to every place.
    pub(super) fn first(schema: &Schema) -> Self {
        let first = schema.tables().first().expect("a store has tables");
        Self { table: first.id(), partition: 0 }
    }

    /// The next one of a store with so many partitions, if there is one.
    pub(super) fn next(self, schema: &Schema, partitions: u16) -> Option<Self> {
        let Self { table, partition } = self;
        if table.is_partitioned() && partition + 1 < partitions {
            return Some(Self { table, partition: partition + 1 });
        }
        let next = schema.tables().iter().find(|next| next.id() > table)?;
        Some(Self { table: next.id(), partition: 0 })
    }

    pub(super) const fn table(self) -> TableId {
        self.table
    }

    /// From which key to which it reaches.
    pub(super) fn range(self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        if !self.table.is_partitioned() {
            return (Bound::Unbounded, Bound::Unbounded);
        }
        let end =
            self.partition.checked_add(1).map_or(Bound::Unbounded, |next| Bound::Excluded(next.to_be_bytes().into()));
        (Bound::Included(self.partition.to_be_bytes().into()), end)
    }

    /// How it does not hold what was noted.
    pub(super) fn difference(self, schema: &Schema, found: Sum, noted: Sum) -> String {
        let Self { table, partition } = self;
        let table = schema.table(table);
        format!(
            "table `{}` holds {} records in partition {partition}, and {} were written there, or one of them is \
             another one",
            table.name(),
            found.records,
            noted.records
        )
    }

    pub(super) fn of(key: &Key) -> Self {
        Self { table: key.table(), partition: key.partition().map_or(0, |partition| partition.0) }
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let [high, low] = self.partition.to_be_bytes();
        [self.table.number(), high, low]
    }

    fn decode(schema: &Schema, bytes: &[u8]) -> Option<Self> {
        let &[number, high, low] = bytes else { return None };
        Some(Self { table: schema.of_number(number)?.id(), partition: u16::from_be_bytes([high, low]) })
    }
}

impl Sum {
    /// A record was written: `stored` as it is in its table, with its header.
    pub(super) fn add(&mut self, key: &[u8], stored: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.hash = self.hash.wrapping_add(hash(key, stored));
    }

    /// A record was removed, or is to be written anew.
    pub(super) fn remove(&mut self, key: &[u8], stored: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.hash = self.hash.wrapping_sub(hash(key, stored));
    }

    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.records.to_be_bytes());
        bytes[8..].copy_from_slice(&self.hash.to_be_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let sum = Self { records: take_u64(&mut bytes)?, hash: take_u64(&mut bytes)? };
        bytes.is_empty().then_some(sum)
    }
}

impl Sums {
    /// Adds a record that was found in a table, and returns its key. One whose key is none of that table belongs to
    /// nothing.
    pub(crate) fn note(&mut self, table: &Table, key: &[u8], stored: &[u8]) -> Result<Key, Damage> {
        let parsed = Key::decode(table, key).ok_or_else(|| Damage::new(table.name(), key, "the key is malformed"))?;
        self.0.entry(Place::of(&parsed)).or_default().add(key, stored);
        Ok(parsed)
    }

    /// Adds what was noted of a place.
    pub(super) fn insert(&mut self, schema: &Schema, key: &[u8], value: &[u8]) -> Option<()> {
        self.0.insert(Place::decode(schema, key)?, Sum::decode(value)?);
        Some(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, Sum)> {
        self.0.iter().map(|(place, sum)| (*place, *sum))
    }

    /// Refuses tables that hold something else than what was `noted` of them.
    pub(super) fn compare(&self, schema: &Schema, noted: &Self) -> Result<(), OpenError> {
        if self == noted {
            return Ok(());
        }
        let places = self.0.keys().chain(noted.0.keys());
        let other = places.min_by_key(|place| (self.get(place) == noted.get(place), **place));
        let place = *other.expect("two that are not equal differ somewhere");
        let (found, noted) = (self.get(&place).records, noted.get(&place).records);
        Err(OpenError::Records { table: schema.table(place.table).name(), partition: place.partition, found, noted })
    }

    fn get(&self, place: &Place) -> Sum {
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// Of a record: of its key, and of its header, whose checksum covers both key and value. Mixed, so that sums of many do
/// not meet.
fn hash(key: &[u8], stored: &[u8]) -> u64 {
    let header = &stored[..stored.len().min(HEADER_BYTES)];
    mixed(u64::from(crc32c::crc32c(key)) << 32 | u64::from(crc32c::crc32c(header)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::declared;
    use crate::ids::{MailboxId, Partition};
    use crate::key::tests::any_key;
    use crate::record;

    proptest! {
        #[test]
        fn sums_survive_and_depend_on_what_is_there_alone(
            keys in proptest::collection::btree_set(any_key(), 1..20),
            gone in any_key(),
        ) {
            let stored = |key: &Key| record::encode(key.bytes(), b"value");
            let mut sums = Sums::default();
            for key in &keys {
                sums.note(declared::SCHEMA.table(key.table()), key.bytes(), &stored(key)).unwrap();
            }
            let mut other = Sums::default();
            for key in keys.iter().rev() {
                other.note(declared::SCHEMA.table(key.table()), key.bytes(), &stored(key)).unwrap();
            }
            let sum = other.0.entry(Place::of(&gone)).or_default();
            sum.add(gone.bytes(), &stored(&gone));
            sum.remove(gone.bytes(), &stored(&gone));
            other.0.retain(|_, sum| !sum.is_nothing());
            prop_assert!(sums.compare(&declared::SCHEMA, &other).is_ok());
            let mut read = Sums::default();
            for (place, sum) in sums.iter() {
                prop_assert_eq!(read.insert(&declared::SCHEMA, &place.encode(), &sum.encode()), Some(()));
            }
            prop_assert_eq!(&read, &sums);
        }
    }

    #[test]
    fn a_record_that_is_missing_added_older_or_under_another_key_is_named_by_its_place() {
        let mailbox = |mailbox| declared::mailbox(Partition(3), MailboxId(mailbox));
        let sums = |records: &[(u128, &[u8])]| {
            let mut sums = Sums::default();
            for (id, value) in records {
                let key = mailbox(*id);
                let stored = record::encode(key.bytes(), value);
                sums.note(&declared::MAILBOXES, key.bytes(), &stored).unwrap();
            }
            sums
        };
        let noted = sums(&[(1, b"one"), (2, b"two")]);
        let cases = [
            (sums(&[(1, b"one")]), 1),
            (sums(&[]), 0),
            (sums(&[(1, b"one"), (2, b"two"), (3, b"three")]), 3),
            (sums(&[(1, b"one"), (2, b"old")]), 2),
            (sums(&[(1, b"one"), (4, b"two")]), 2),
        ];
        for (found, records) in cases {
            let refused = found.compare(&declared::SCHEMA, &noted).unwrap_err();
            let OpenError::Records { table: "mailboxes", partition: 3, found, noted: 2 } = refused else {
                panic!("{refused}")
            };
            assert_eq!(found, records);
        }
    }
}
