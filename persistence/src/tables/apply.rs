//! Applies what a run of groups amounts to. One transaction, so that the tables are always those after a whole group.

use bytes::Bytes;
use heed::RwTxn;

use super::Tables;
use super::chunks::{Chunked, put_record};
use crate::chunk::{VALUE_BYTES_MAX, Whole};
use crate::env::RawDatabase;
use crate::error::CommitError;
use crate::fold::Folded;
use crate::key::{Key, Table};
use crate::meta::{self, Applied, Meta};
use crate::record;

const WRITTEN: &str = "all databases are made when the tables are opened to be written";

impl Tables {
    /// Writes the changes in key order, together with the number of the last group in them, and commits.
    pub(crate) fn apply(&self, folded: &Folded) -> Result<(), CommitError> {
        let write = || {
            let mut txn = self.env.write_txn()?;
            for table in Table::ALL {
                self.apply_table(&mut txn, folded, table)?;
            }
            let applied = Applied { group: folded.last_group, position: folded.last_position };
            let key = meta::APPLIED.as_bytes();
            self.databases.meta.put(&mut txn, key, &applied.encode(key))?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Key order makes neighbours share the pages that they touch, and lets pages that empty on the way be used again
    /// at once.
    fn apply_table(&self, txn: &mut RwTxn<'_>, folded: &Folded, table: Table) -> heed::Result<()> {
        let mut changes: Vec<(Key, Option<&Bytes>)> = folded.changes(table).collect();
        changes.sort_unstable_by_key(|&(key, _)| key);
        let database = self.written(table);
        let mut chunked = self.chunked(table);
        // `Table::ALL` has the inbox before the attempts, so attempts that came later are written after this.
        let mut attempts = self.chunked(Table::Attempts);
        for (key, value) in changes {
            let encoded = key.encode();
            chunked.remove(txn, &encoded)?;
            match value {
                Some(value) if value.len() > VALUE_BYTES_MAX => {
                    chunked.put(txn, &encoded, value)?;
                    database.put(txn, &encoded, &record::encode_chunked(&encoded, Whole::of(value)))?;
                }
                Some(value) => put_record(database, txn, &encoded, value)?,
                None => {
                    database.delete(txn, &encoded)?;
                    if let Key::Inbox { partition, position } = key {
                        let encoded = Key::Attempts { partition, position }.encode();
                        self.written(Table::Attempts).delete(txn, &encoded)?;
                        attempts.remove(txn, &encoded)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn written(&self, table: Table) -> &RawDatabase {
        self.database(table).expect(WRITTEN)
    }

    fn chunked(&self, table: Table) -> Chunked {
        Chunked::new(self.databases.chunks.expect(WRITTEN), table)
    }
}
