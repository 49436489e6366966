//! Reads groups back.

use std::ops::{Bound, ControlFlow};

use heed::{RoTxn, WithoutTls};

use super::chunk::{self, Chunk, record_key};
use super::collected::Collected;
use super::{Journal, TABLE};
use crate::error::{Damage, ReadError};
use crate::hash::Chain;
use crate::ids::Group;
use crate::log::contract::LogEntry;

impl Journal {
    pub(super) fn read_from(
        &self,
        from: Group,
        visit: impl FnMut(LogEntry) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        assert!(from >= self.first, "groups that were cut off cannot be read");
        let passed = usize::try_from(from.0 - self.first.0).unwrap_or(usize::MAX);
        let before = passed.checked_sub(1).map_or(Some(self.cut), |last| self.held.get(last).map(|held| held.chain));
        // Beyond the end there is nothing to follow on, and nothing to read.
        let Some(before) = before else { return Ok(()) };
        let txn = self.env.read_txn()?;
        self.walk(&txn, from, before, visit)
    }

    /// The journal as it is now.
    pub(crate) fn snapshot(&self) -> Result<RoTxn<'_, WithoutTls>, ReadError> {
        Ok(self.env.read_txn()?)
    }

    /// Hands over the groups from this one on, which follows on `before`.
    pub(crate) fn walk(
        &self,
        txn: &RoTxn<'_, WithoutTls>,
        from: Group,
        before: Chain,
        mut visit: impl FnMut(LogEntry) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let (mut next, mut chain, mut group) = (from, before, Collected::default());
        let range = (Bound::Included(&record_key(from, 0)[..]), Bound::Unbounded);
        for entry in self.log.range(txn, &range)? {
            let (key, stored) = entry?;
            let Chunk { total, checksum, payload } = chunk::open(TABLE, key, stored)?;
            if chunk::parse_key(key) != Some((next, group.parts)) {
                return Err(
                    Damage::new(TABLE, &record_key(next, group.parts), "a chunk of the group is missing").into()
                );
            }
            group.add(total, checksum, payload);
            if group.is_complete() {
                let batch;
                (batch, chain) = group.take(chain);
                if visit(LogEntry { group: next, batch, chain }).is_break() {
                    return Ok(());
                }
                next = next.next();
            }
        }
        Ok(())
    }
}
