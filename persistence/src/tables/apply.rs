//! Applies what a run of groups amounts to. One transaction, so that the tables are always those after a whole group.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use heed::RwTxn;

use super::chunks::{Chunked, put_record};
use super::sums::{Place, Sum};
use super::{SUMS, Tables, WRITTEN};
use crate::chunk::{VALUE_BYTES_MAX, Whole};
use crate::env::RawDatabase;
use crate::error::CommitError;
use crate::fold::Folded;
use crate::key::{EncodedKey, Key, Table};
use crate::meta::Applied;
use crate::record;

/// What becomes of the sums of the places that were changed.
type Changed = BTreeMap<Place, Sum>;

impl Tables {
    /// Writes the changes in key order, together with the number of the last group in them, and commits.
    pub(crate) fn apply(&self, folded: &Folded) -> Result<(), CommitError> {
        let write = || {
            let mut txn = self.env.write_txn()?;
            let mut changed = Changed::new();
            for table in Table::ALL {
                self.apply_table(&mut txn, folded, table, &mut changed)?;
            }
            for (place, sum) in changed {
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
        changed: &mut Changed,
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
            let sum = self.sum(txn, &key, changed)?;
            // The two queues are written once, and never over what is there.
            if value.is_none() || !matches!(table, Table::Inbox | Table::Outbox) {
                remove_from(sum, database, txn, &encoded)?;
            }
            match value {
                Some(value) if value.len() > VALUE_BYTES_MAX => {
                    chunked.put(txn, &encoded, value)?;
                    let stored = record::encode_chunked(&encoded, Whole::of(value));
                    sum.add(&encoded, &stored);
                    database.put(txn, &encoded, &stored)?;
                }
                Some(value) => {
                    sum.add(&encoded, &record::header(&encoded, value));
                    put_record(database, txn, &encoded, value)?;
                }
                None => {
                    database.delete(txn, &encoded)?;
                    if let Key::Inbox { partition, position } = key {
                        let key = Key::Attempts { partition, position };
                        let encoded = key.encode();
                        let database = self.written(Table::Attempts);
                        remove_from(self.sum(txn, &key, changed)?, database, txn, &encoded)?;
                        database.delete(txn, &encoded)?;
                        attempts.remove(txn, &encoded)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The sum of the place that a record has, as it is by now.
    fn sum<'c>(&self, txn: &RwTxn<'_>, key: &Key, changed: &'c mut Changed) -> heed::Result<&'c mut Sum> {
        let place = Place::of(key);
        Ok(match changed.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let key = place.encode();
                let stored = self.databases.sums.expect(WRITTEN).get(txn, &key)?;
                // They were read when the tables were opened. One that cannot be read since does not add up at the next
                // opening.
                let value = stored.and_then(|stored| record::value(SUMS, &key, stored).ok());
                unknown.insert(value.and_then(Sum::decode).unwrap_or_default())
            }
        })
    }

    fn written(&self, table: Table) -> &RawDatabase {
        self.database(table).expect(WRITTEN)
    }

    fn chunked(&self, table: Table) -> Chunked {
        Chunked::new(self.databases.chunks.expect(WRITTEN), table)
    }
}

/// Takes what is under a key off the sum, before that is deleted or written anew.
fn remove_from(sum: &mut Sum, database: &RawDatabase, txn: &RwTxn<'_>, key: &EncodedKey) -> heed::Result<()> {
    if let Some(stored) = database.get(txn, key)? {
        sum.remove(key, stored);
    }
    Ok(())
}
