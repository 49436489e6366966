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
use crate::key::{EncodedKey, Key};
use crate::lmdb::RawDatabase;
use crate::meta::Applied;
use crate::record;
use crate::record::{VALUE_BYTES_MAX, Whole};
use crate::table::Table;

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
    fn add(&mut self, key: &EncodedKey, stored: &[u8]) {
        self.sum.add(key, stored);
        self.scrub.added(self.place, key, stored);
    }

    /// Takes what is under a key off, before that is deleted or written anew.
    fn remove(&mut self, database: &RawDatabase, txn: &RwTxn<'_>, key: &EncodedKey) -> heed::Result<()> {
        if let Some(stored) = database.get(txn, key)? {
            self.sum.remove(key, stored);
            self.scrub.removed(self.place, key, stored);
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
            for table in Table::ALL {
                self.apply_table(&mut txn, folded, table, &mut counts)?;
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
        table: Table,
        counts: &mut Counts<'_>,
    ) -> heed::Result<()> {
        let mut changes: Vec<(Key, Option<&Bytes>)> = folded.changes(table).collect();
        changes.sort_unstable_by_key(|&(key, _)| key);
        let database = self.written(table);
        let mut chunked = self.chunked(table);
        // `Table::ALL` has the inbox before the attempts, so attempts that came later are written after this.
        let mut attempts = self.chunked(Table::Attempts);
        for (key, value) in changes {
            let encoded = key.encode();
            chunked.remove(txn, &encoded)?;
            let mut count = self.count(txn, &key, counts)?;
            // The two queues are written once, and never over what is there.
            if value.is_none() || !matches!(table, Table::Inbox | Table::Outbox) {
                count.remove(database, txn, &encoded)?;
            }
            match value {
                Some(value) if value.len() > VALUE_BYTES_MAX => {
                    chunked.put(txn, &encoded, value)?;
                    let stored = record::encode_chunked(&encoded, Whole::of(value));
                    count.add(&encoded, &stored);
                    database.put(txn, &encoded, &stored)?;
                }
                Some(value) => {
                    count.add(&encoded, &record::header(&encoded, value));
                    put_record(database, txn, &encoded, value)?;
                }
                None => {
                    database.delete(txn, &encoded)?;
                    if let Key::Inbox { partition, position } = key {
                        let key = Key::Attempts { partition, position };
                        let encoded = key.encode();
                        let database = self.written(Table::Attempts);
                        self.count(txn, &key, counts)?.remove(database, txn, &encoded)?;
                        database.delete(txn, &encoded)?;
                        attempts.remove(txn, &encoded)?;
                    }
                }
            }
        }
        Ok(())
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

    fn written(&self, table: Table) -> &RawDatabase {
        self.database(table).expect(WRITTEN)
    }

    fn chunked(&self, table: Table) -> Chunked {
        Chunked::new(self.databases.chunks.expect(WRITTEN), table)
    }
}
