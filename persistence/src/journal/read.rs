//! Reads the journal back, once, when it is opened.

use std::ops::Bound;

use bytes::Bytes;

use super::{Journal, TABLE, chunk, storage};
use crate::batch::Batch;
use crate::error::{Damage, OpenError};
use crate::ids::Group;
use crate::meta::{self, Applied};

impl Journal {
    /// Checks every chunk, hands every batch after `applied` to `visit` in order, and notes which groups are held.
    ///
    /// # Errors
    ///
    /// Damage, with the key of the chunk; a gap between what the tables include and what is held, or within it.
    pub(crate) fn replay(&mut self, applied: Applied, mut visit: impl FnMut(Batch)) -> Result<(), OpenError> {
        let Applied { group: applied, position: mut last } = applied;
        let env = self.env.clone();
        let txn = env.read_txn().map_err(storage)?;
        let cut: Group = self.meta(&txn, meta::CUT)?.unwrap_or_default();
        self.first = cut.next();
        self.held.clear();
        let mut group = Collected::default();
        let records = (Bound::Included(&[chunk::RECORD_PREFIX][..]), Bound::Unbounded);
        for entry in self.log.range(&txn, &records).map_err(storage)? {
            let (key, stored) = entry.map_err(storage)?;
            let damaged = |reason| Damage::new(TABLE, key, reason);
            let (number, part) = chunk::parse_key(key).ok_or_else(|| damaged("the key is malformed"))?;
            let (total, payload) = chunk::open(TABLE, key, stored)?;
            if number != self.next() {
                return Err(self.gap(applied, "a group is missing in the journal"));
            }
            if part != group.parts || part >= total || (part > 0 && total != group.total) {
                return Err(damaged("a chunk of the group is missing").into());
            }
            group.add(total, payload);
            if group.is_complete() {
                let bytes = group.take();
                self.held.push_back(total);
                if number > applied {
                    let batch = Batch::decode(&bytes).map_err(damaged)?;
                    if batch.group != number || batch.first <= last {
                        return Err(damaged("the batch is of another group").into());
                    }
                    last = batch.last;
                    visit(batch);
                }
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

    fn gap(&self, tables_last: Group, reason: &'static str) -> OpenError {
        let journal_last = Group(self.next().0 - 1);
        OpenError::Gap { tables_last, journal_first: self.first, journal_last, reason }
    }
}

/// The chunks of one group so far.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    parts: u32,
    total: u32,
}

impl Collected {
    fn add(&mut self, total: u32, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.total = total;
        self.parts += 1;
    }

    fn is_complete(&self) -> bool {
        self.parts == self.total
    }

    fn take(&mut self) -> Bytes {
        self.parts = 0;
        std::mem::take(&mut self.bytes).into()
    }
}
