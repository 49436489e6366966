//! Takes groups out of the journal, at either end.

use std::ops::Bound;

use heed::RwTxn;

use super::chunk::record_key;
use super::{CUT_CHUNKS, Journal};
use crate::error::CommitError;
use crate::ids::Group;
use crate::log::contract::Log;
use crate::meta::{self, Cut};

impl Journal {
    /// Removes whole groups that nobody needs from the front; how many.
    pub(super) fn cut_within(&self, txn: &mut RwTxn<'_>, chunks_max: usize) -> heed::Result<usize> {
        let (mut groups, mut removed, mut cut) = (0, 0, Cut::default());
        for (group, held) in (self.first.0..=self.needless.0).zip(&self.held) {
            if removed > 0 && removed + held.chunks as usize > chunks_max {
                break;
            }
            for number in 0..held.chunks {
                self.log.delete(txn, &record_key(Group(group), number))?;
            }
            removed += held.chunks as usize;
            groups += 1;
            cut = Cut { group: Group(group), chain: Some(held.chain) };
        }
        if groups > 0 {
            self.put_meta(txn, meta::CUT, &cut)?;
        }
        Ok(groups)
    }

    /// The same in a commit of its own; whether there was one.
    pub(super) fn cut_some(&mut self) -> Result<bool, CommitError> {
        if self.held.is_empty() || self.first > self.needless {
            return Ok(false);
        }
        let write = || {
            let mut txn = self.env.write_txn()?;
            let cut = self.cut_within(&mut txn, 4 * CUT_CHUNKS)?;
            txn.commit()?;
            Ok(cut)
        };
        let cut = write().map_err(|error| self.failed(error))?;
        self.forget(cut);
        Ok(cut > 0)
    }

    /// Forgets groups that were removed from the front.
    pub(super) fn forget(&mut self, groups: usize) {
        if let Some(last) = self.held.drain(..groups).next_back() {
            self.cut = last.chain;
        }
        self.first = Group(self.first.0 + groups as u64);
    }

    /// Removes all groups from this one on.
    pub(super) fn cut_from(&mut self, from: Group) -> Result<(), CommitError> {
        assert!(from >= self.first, "groups that were cut off in front cannot be taken back");
        if from > self.last() {
            return Ok(());
        }
        let write = || {
            let mut txn = self.env.write_txn()?;
            let range = (Bound::Included(&record_key(from, 0)[..]), Bound::Unbounded);
            self.log.delete_range(&mut txn, &range)?;
            txn.commit()
        };
        write().map_err(|error| self.failed(error))?;
        let left = usize::try_from(from.0 - self.first.0).expect("as many groups as are held");
        self.held.truncate(left);
        Ok(())
    }
}
