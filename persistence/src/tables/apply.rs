//! Applies what a run of groups amounts to. One transaction, so that the tables are always those after a whole group.

use std::io::Write;

use bytes::Bytes;
use heed::RwTxn;

use super::Tables;
use crate::error::CommitError;
use crate::fold::Folded;
use crate::key::{Key, Table};
use crate::meta::{self, Applied, Meta};
use crate::record;

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
            self.meta.put(&mut txn, key, &applied.encode(key))?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))
    }

    /// Key order makes neighbours share the pages that they touch, and lets pages that empty on the way be used again
    /// at once.
    fn apply_table(&self, txn: &mut RwTxn<'_>, folded: &Folded, table: Table) -> heed::Result<()> {
        let mut changes: Vec<(Key, Option<&Bytes>)> = folded.changes(table).collect();
        changes.sort_unstable_by_key(|&(key, _)| key);
        let database = self.database(table);
        for (key, value) in changes {
            let encoded = key.encode();
            match value {
                Some(value) => {
                    let header = record::header(&encoded, value);
                    database.put_reserved(txn, &encoded, header.len() + value.len(), |space| {
                        space.write_all(&header)?;
                        space.write_all(value)
                    })?;
                }
                None => {
                    database.delete(txn, &encoded)?;
                    if let Key::Inbox { partition, position } = key {
                        // `Table::ALL` has the inbox before the attempts, so attempts that came later are written
                        // after this.
                        self.database(Table::Attempts).delete(txn, &Key::Attempts { partition, position }.encode())?;
                    }
                }
            }
        }
        Ok(())
    }
}
