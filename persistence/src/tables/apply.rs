//! Applies what a run of groups amounts to. One transaction, so that the tables are always those after a whole group.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use heed::RwTxn;

use super::chunks::{Chunked, put_record};
use super::databases::{SUMS, Tables, WRITTEN};
use super::scrub::Scrub;
use super::sums::{Place, Sum};
use crate::error::CommitError;
use crate::fold::Folded;
use crate::key::Key;
use crate::lmdb::RawDatabase;
use crate::meta::Applied;
use crate::record;
use crate::record::{VALUE_BYTES_MAX, Whole};
use crate::table::TableId;

/// Everybody who counts what the tables hold.
struct Counts<'s> {
    /// What becomes of the sums of the places that were changed.
    changed: BTreeMap<Place, Sum>,
    scrub: &'s mut Scrub,
}

/// What counts the records of one place.
struct Count<'c> {
    place: Place,
    sum: &'c mut Sum,
    scrub: &'c mut Scrub,
}

impl Count<'_> {
    /// A record was written, or is to be.
    fn add(&mut self, key: &Key, stored: &[u8]) {
        self.sum.add(key.bytes(), stored);
        self.scrub.added(self.place, key.bytes(), stored);
    }

    /// Takes what is under a key off, before that is deleted or written anew.
    fn remove(&mut self, database: &RawDatabase, txn: &RwTxn<'_>, key: &Key) -> heed::Result<()> {
        if let Some(stored) = database.get(txn, key.bytes())? {
            self.sum.remove(key.bytes(), stored);
            self.scrub.removed(self.place, key.bytes(), stored);
        }
        Ok(())
    }
}

impl Tables {
    /// Writes the changes in key order, together with the number of the last group in them, and commits; `scrub` is
    /// told of each.
    pub(crate) fn apply(&self, folded: &Folded, scrub: &mut Scrub) -> Result<(), CommitError> {
        let mut write = || {
            let mut txn = self.env.write_txn()?;
            let mut counts = Counts { changed: BTreeMap::new(), scrub };
            for table in self.schema.tables() {
                self.apply_table(&mut txn, folded, table.id(), &mut counts)?;
            }
            for (place, sum) in counts.changed {
                self.put_sum(&mut txn, place, sum)?;
            }
            let Folded { last_group: group, last_position: position, chain, .. } = *folded;
            self.put_applied(&mut txn, Applied { group, position, chain: Some(chain) })?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Key order makes neighbours share the pages that they touch, and lets pages that empty on the way be used again
    /// at once.
    fn apply_table(
        &self,
        txn: &mut RwTxn<'_>,
        folded: &Folded,
        table: TableId,
        counts: &mut Counts<'_>,
    ) -> heed::Result<()> {
        let mut changes: Vec<(Key, Option<&Bytes>)> = folded.changes(table).collect();
        changes.sort_unstable_by_key(|&(key, _)| key);
        let mut chunked = self.chunked();
        // A companion comes after its queue, so what came after a deletion is written after this.
        let mut chunked_companions = self.chunked();
        for (key, value) in changes {
            chunked.remove(txn, &key)?;
            match value {
                Some(value) => self.put(txn, &key, value, &chunked, counts)?,
                None => {
                    self.delete(txn, &key, counts)?;
                    if let Some(companion) = key.companion() {
                        self.delete(txn, &companion, counts)?;
                        chunked_companions.remove(txn, &companion)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a record, whose chunks are gone.
    fn put(
        &self,
        txn: &mut RwTxn<'_>,
        key: &Key,
        value: &Bytes,
        chunked: &Chunked,
        counts: &mut Counts<'_>,
    ) -> heed::Result<()> {
        let database = self.written(key.table());
        let mut count = self.count(txn, key, counts)?;
        // The records of queues are written once, and never over what is there.
        if !key.table().is_queue() {
            count.remove(database, txn, key)?;
        }
        if value.len() > VALUE_BYTES_MAX {
            chunked.put(txn, key, value)?;
            let stored = record::encode_chunked(key.bytes(), Whole::of(value));
            count.add(key, &stored);
            return database.put(txn, key.bytes(), &stored);
        }
        count.add(key, &record::header(key.bytes(), value));
        put_record(database, txn, key.bytes(), value)
    }

    fn delete(&self, txn: &mut RwTxn<'_>, key: &Key, counts: &mut Counts<'_>) -> heed::Result<()> {
        let database = self.written(key.table());
        self.count(txn, key, counts)?.remove(database, txn, key)?;
        database.delete(txn, key.bytes()).map(drop)
    }

    /// What counts the records of the place that a record has.
    fn count<'c>(&self, txn: &RwTxn<'_>, key: &Key, counts: &'c mut Counts<'_>) -> heed::Result<Count<'c>> {
        let place = Place::of(key);
        let sum = match counts.changed.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let key = place.encode();
                let stored = self.databases.sums.expect(WRITTEN).get(txn, &key)?;
                // They were read when the tables were opened. One that cannot be read since does not add up when the
                // place is compared.
                let value = stored.and_then(|stored| record::value(SUMS, &key, stored).ok());
                unknown.insert(value.and_then(Sum::decode).unwrap_or_default())
            }
        };
        Ok(Count { place, sum, scrub: counts.scrub })
    }

    fn written(&self, table: TableId) -> &RawDatabase {
        self.database(table).expect(WRITTEN)
    }

    fn chunked(&self) -> Chunked {
        Chunked::new(self.databases.chunks.expect(WRITTEN))
    }
}
