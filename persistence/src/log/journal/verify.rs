//! Looks through the whole journal, once, when it is opened.

use std::ops::Bound;

use heed::RoTxn;

use super::chunk::{self, Chunk};
use super::collected::Collected;
use super::{Held, Journal, TABLE, meta_key, storage};
use crate::batch::Header;
use crate::error::{Damage, OpenError};
use crate::hash::Chain;
use crate::ids::Group;
use crate::log::contract::Log;
use crate::meta::{self, Applied, Cut};

const OTHER_HISTORY: &str =
    "the two are of different histories that had one beginning, or the journal is put together of two";

impl Journal {
    /// Checks every chunk, and notes which groups are held.
    ///
    /// # Errors
    ///
    /// Damage, with the key of the chunk; a gap between what the tables include and what is held, or within it; a group
    /// that follows on another history than that before it, or that of the tables.
    pub(crate) fn verify(&mut self, tables: Applied) -> Result<(), OpenError> {
        let Applied { group: applied, chain: in_tables, .. } = tables;
        let env = self.env.clone();
        let txn = env.read_txn().map_err(storage)?;
        self.check_names(&txn)?;
        let cut: Cut = self.meta(&txn, meta::CUT)?.unwrap_or_default();
        self.first = cut.group.next();
        self.cut = cut.chain.unwrap_or_default();
        self.held.clear();
        let is_other = |group: Group, chain: Option<Chain>| {
            group == applied && in_tables.zip(chain).is_some_and(|(in_tables, chain)| in_tables != chain)
        };
        if is_other(cut.group, cut.chain) {
            return Err(self.gap(applied, OTHER_HISTORY));
        }
        let mut group = Collected::default();
        let records = (Bound::Included(&[chunk::RECORD_PREFIX][..]), Bound::Unbounded);
        for entry in self.log.range(&txn, &records).map_err(storage)? {
            let (key, stored) = entry.map_err(storage)?;
            let damaged = |reason| Damage::new(TABLE, key, reason);
            let (number, part) = chunk::parse_key(key).ok_or_else(|| damaged("the key is malformed"))?;
            let Chunk { total, checksum, payload } = chunk::open(TABLE, key, stored)?;
            if number != self.next() {
                return Err(self.gap(applied, "a group is missing in the journal"));
            }
            if part != group.parts || part >= total || (part > 0 && total != group.total) {
                return Err(damaged("a chunk of the group is missing").into());
            }
            group.add(total, checksum, payload);
            if group.is_complete() {
                let before = self.chain();
                let (bytes, chain) = group.take(before);
                let header = Header::decode(&bytes).map_err(damaged)?;
                if header.group != number {
                    return Err(damaged("the batch is of another group").into());
                }
                if header.origin.is_some_and(|origin| origin.before != before) || is_other(number, Some(chain)) {
                    return Err(self.gap(applied, OTHER_HISTORY));
                }
                self.held.push_back(Held { chunks: total, chain });
            }
        }
        if group.parts > 0 {
            let key = chunk::record_key(self.next(), group.parts);
            return Err(Damage::new(TABLE, &key, "a chunk of the group is missing").into());
        }
        if self.first > applied.next() {
            return Err(self.gap(applied, "groups between the two are missing"));
        }
        if self.next() <= applied {
            return Err(self.gap(applied, "the journal is older than the tables"));
        }
        Ok(())
    }

    /// Refuses a record about the store that nobody has written: one that is missed is under such a name.
    fn check_names(&self, txn: &RoTxn<'_>) -> Result<(), OpenError> {
        let names = (Bound::Unbounded, Bound::Excluded(&[chunk::RECORD_PREFIX][..]));
        for entry in self.log.range(txn, &names).map_err(storage)? {
            let (key, _) = entry.map_err(storage)?;
            if !meta::IN_JOURNAL.iter().any(|name| *key == *meta_key(name)) {
                return Err(Damage::new(TABLE, key, "no record has this name").into());
            }
        }
        Ok(())
    }

    fn gap(&self, tables_last: Group, reason: &'static str) -> OpenError {
        OpenError::Gap { tables_last, journal_first: self.first, journal_last: self.last(), reason }
    }
}
