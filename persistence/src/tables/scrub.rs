//! Compares what the tables hold with what was noted of them while they are open, a slice at a time: a record that is
//! lost meanwhile is missed before the next opening. Only the checkpointer changes the tables, and it tells of each
//! change, so that the slices of a place add up although the place changes between them.

use std::ops::Bound;

use heed::{RoTxn, WithoutTls};

use super::databases::{SUMS, Tables, WRITTEN};
use super::sums::{Place, Sum};
use crate::error::{CommitError, Damage};
use crate::key::Key;
use crate::record;
use crate::table::Schema;

/// After how many records it is asked whether to go on: each may lie on two pages of a slow disk.
const LOOK_EVERY_RECORDS: u32 = 8;

/// How far the comparison is. It goes round for as long as the store is open.
#[derive(Debug)]
pub(crate) struct Scrub {
    schema: Schema,
    partitions: u16,
    place: Place,
    /// The last key of the place that was read.
    reached: Option<Vec<u8>>,
    /// Over the records of the place up to there, as they are by now.
    sum: Sum,
}

impl Scrub {
    pub(crate) fn new(schema: Schema, partitions: u16) -> Self {
        Self { schema, partitions, place: Place::first(&schema), reached: None, sum: Sum::default() }
    }

    /// A record was written, or is to be written anew.
    pub(super) fn added(&mut self, place: Place, key: &[u8], stored: &[u8]) {
        if self.has_read(place, key) {
            self.sum.add(key, stored);
        }
    }

    /// A record was removed, or is to be written anew.
    pub(super) fn removed(&mut self, place: Place, key: &[u8], stored: &[u8]) {
        if self.has_read(place, key) {
            self.sum.remove(key, stored);
        }
    }

    fn has_read(&self, place: Place, key: &[u8]) -> bool {
        place == self.place && self.reached.as_deref().is_some_and(|reached| key <= reached)
    }

    /// Goes on to the next place; returns the sum over this one.
    fn pass(&mut self) -> Sum {
        self.place = self.place.next(&self.schema, self.partitions).unwrap_or_else(|| Place::first(&self.schema));
        self.reached = None;
        std::mem::take(&mut self.sum)
    }
}

impl Tables {
    /// Goes on with the comparison for as long as `goes_on`, which is asked now and then, and once around at most.
    /// Refuses a place that does not hold what was noted of it.
    pub(crate) fn scrub(&self, scrub: &mut Scrub, mut goes_on: impl FnMut() -> bool) -> Result<(), CommitError> {
        let gone_on = self.scrub_in_one_transaction(scrub, &mut goes_on);
        gone_on.or_else(|error| match error {
            Trouble::Damage(error) => Err(error),
            // It is no damage that the system has no memory, say: the next time goes on from here.
            Trouble::Passing => Ok(()),
        })
    }

    fn scrub_in_one_transaction(&self, scrub: &mut Scrub, goes_on: &mut dyn FnMut() -> bool) -> Result<(), Trouble> {
        let txn = self.env.read_txn()?;
        loop {
            if !self.scrub_place(&txn, scrub, goes_on)? || scrub.place == Place::first(&self.schema) || !goes_on() {
                return Ok(());
            }
        }
    }

    /// Whether it has come to the end of the place.
    fn scrub_place(
        &self,
        txn: &RoTxn<'_, WithoutTls>,
        scrub: &mut Scrub,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Trouble> {
        let place = scrub.place;
        let mut last = None;
        let ended = self.add_up(txn, scrub, &mut last, goes_on);
        if let Some(last) = last {
            scrub.reached = Some(last.to_vec());
        }
        if !ended? {
            return Ok(false);
        }
        let key = place.encode();
        let noted = match self.databases.sums.expect(WRITTEN).get(txn, &key)? {
            Some(stored) => {
                let noted = record::value(SUMS, &key, stored)?;
                Sum::decode(noted).ok_or_else(|| Damage::new(SUMS, &key, "it is no sum"))?
            }
            None => Sum::default(),
        };
        let found = scrub.pass();
        if found != noted {
            return Err(Trouble::Damage(CommitError::Damaged {
                what: place.difference(&self.schema, found, noted).into(),
            }));
        }
        Ok(true)
    }

    /// Adds up the records of the place from where it was reached; `last` is the last key that was. Whether it has come
    /// to the end.
    fn add_up<'t>(
        &self,
        txn: &'t RoTxn<'_, WithoutTls>,
        scrub: &mut Scrub,
        last: &mut Option<&'t [u8]>,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Trouble> {
        let table = self.schema.table(scrub.place.table());
        let (from, to) = scrub.place.range();
        let from = scrub.reached.clone().map_or(from, Bound::Excluded);
        let range = (as_slice(&from), as_slice(&to));
        for (number, entry) in (1..).zip(self.database(table.id()).expect(WRITTEN).range(txn, &range)?) {
            let (key, stored) = entry?;
            let wrong = |reason| Damage::new(table.name(), key, reason);
            Key::decode(table, key).ok_or_else(|| wrong("the key is malformed"))?;
            if last.or(scrub.reached.as_deref()).is_some_and(|before| key <= before) {
                return Err(wrong("it is out of order").into());
            }
            scrub.sum.add(key, stored);
            *last = Some(key);
            if number % LOOK_EVERY_RECORDS == 0 && !goes_on() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Why the comparison did not go on.
enum Trouble {
    Damage(CommitError),
    /// Nothing is known to be wrong.
    Passing,
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Self::Damage(CommitError::Damaged { what: damage.to_string().into() })
    }
}

impl From<heed::Error> for Trouble {
    fn from(error: heed::Error) -> Self {
        use heed::MdbError::{Corrupted, Invalid, PageNotFound};
        match error {
            heed::Error::Mdb(Corrupted | Invalid | PageNotFound) => {
                Self::Damage(CommitError::Damaged { what: format!("they cannot be read: {error}").into() })
            }
            _ => Self::Passing,
        }
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::batch::Change;
    use crate::declared;
    use crate::fold::Folded;
    use crate::hash::Chain;
    use crate::ids::{Group, MailboxId, Partition, Position, ShardId};
    use crate::meta::Identity;

    const MAP_BYTES: u64 = 32 << 20;

    fn state(number: u64) -> Key {
        declared::mailbox(Partition((number % 2) as u16), MailboxId(u128::from(number) << 64))
    }

    /// New tables, what is written to them, and what compares them.
    struct Scene {
        _folder: tempfile::TempDir,
        tables: Tables,
        scrub: Scrub,
        groups: u64,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let identity = Identity { store: ShardId(7), partitions: 2 };
            let path = folder.path().join("tables");
            Tables::make(&path, MAP_BYTES, declared::SCHEMA, identity).unwrap();
            let (tables, _) = Tables::open(&path, MAP_BYTES, declared::SCHEMA).unwrap();
            Self { _folder: folder, tables, scrub: Scrub::new(declared::SCHEMA, identity.partitions), groups: 0 }
        }

        fn apply(&mut self, changes: impl IntoIterator<Item = (Key, Option<Bytes>)>) {
            self.groups += 1;
            let mut folded = Folded::default();
            let changes = changes.into_iter().map(|(key, value)| Change { key, value });
            let at = Position(self.groups);
            folded.absorb(Group(self.groups), at, at, Chain::default(), changes);
            self.tables.apply(&folded, &mut self.scrub).unwrap();
        }

        /// Compares all places from here on, once around; what comes between two slices is done meanwhile.
        fn go_round(&mut self, mut meanwhile: impl FnMut(&mut Self)) -> Result<u32, CommitError> {
            let mut slices = 0;
            loop {
                slices += 1;
                let mut looks = 0;
                self.tables.scrub(&mut self.scrub, || {
                    looks += 1;
                    looks < 100
                })?;
                if self.scrub.place == Place::first(&declared::SCHEMA) && self.scrub.reached.is_none() {
                    return Ok(slices);
                }
                meanwhile(self);
            }
        }
    }

    #[test]
    fn tables_that_change_between_the_slices_of_a_place_add_up() {
        let mut scene = Scene::new();
        scene.apply((0..6000).map(|number| (state(number), Some(Bytes::from(vec![1; 10])))));
        let mut random = 1_u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        for _ in 0..3 {
            let slices = scene.go_round(|scene| {
                let changes: std::collections::BTreeMap<u64, u64> = (0..200).map(|_| (next() % 8000, next())).collect();
                scene.apply(changes.into_iter().map(|(number, what)| {
                    let value = (what % 3 > 0).then(|| Bytes::from(vec![what as u8; (what % 5000) as usize]));
                    (state(number), value)
                }));
            });
            assert!(slices.unwrap() > 6, "the two places have several slices each");
        }
        scene.apply([(state(4001), Some(Bytes::from_static(b"x")))]);
        // Nothing was compared with itself: a record that goes unseen is missed.
        let tables = scene.tables.clone();
        let mut txn = tables.env.write_txn().unwrap();
        tables.database(declared::MAILBOXES.id()).unwrap().delete(&mut txn, state(4001).bytes()).unwrap();
        txn.commit().unwrap();
        let missed = scene.go_round(|_| ()).map(drop).unwrap_err();
        let is_named = |what: &str| what.contains("table `mailboxes`") && what.contains("in partition 1");
        assert!(matches!(&missed, CommitError::Damaged { what } if is_named(what)), "{missed}");
    }

    #[test]
    fn every_place_is_compared() {
        let keys = [
            declared::inbox(Partition(0), Position(1)),
            declared::attempts(Partition(1), Position(1)),
            declared::dead_letter(Position(1)),
            declared::peer(ShardId(1)),
            declared::note(3),
            state(1),
        ];
        for key in keys {
            let mut scene = Scene::new();
            scene.apply([(key, Some(Bytes::from_static(b"x")))]);
            scene.go_round(|_| ()).unwrap();
            let tables = scene.tables.clone();
            let mut txn = tables.env.write_txn().unwrap();
            tables.database(key.table()).unwrap().clear(&mut txn).unwrap();
            txn.commit().unwrap();
            let missed = scene.go_round(|_| ()).map(drop).unwrap_err();
            let is_named =
                |what: &str| what.contains(&format!("table `{}` holds 0", declared::SCHEMA.table(key.table()).name()));
            assert!(matches!(&missed, CommitError::Damaged { what } if is_named(what)), "{missed}");
        }
    }
}
