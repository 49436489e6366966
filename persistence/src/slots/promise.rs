//! How far the journal is, in the first line of the slots.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;

use memmap2::MmapRaw;

use super::map::{FILE_BYTES, FILE_NAME, MAGIC, line, open_map};
use super::mark::{high, low};
use crate::error::{OpenError, failed};
use crate::ids::{Group, MailboxId, ShardId};
use crate::integers::{take_u64, take_u128};

/// The last group that was acknowledged, in the first line.
#[derive(Debug)]
pub(crate) struct Promise(MmapRaw);

impl Promise {
    /// The store whose file it is, and what was promised of it; none where the file is missing or knows nothing.
    /// Changes nothing.
    pub(crate) fn read(folder: &Path) -> Result<Option<(ShardId, Group)>, OpenError> {
        let path = folder.join(FILE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path)(source)),
        }
    }

    fn decode(bytes: &[u8]) -> Option<(ShardId, Group)> {
        let mut rest = bytes.strip_prefix(&MAGIC).filter(|_| bytes.len() == FILE_BYTES)?;
        Some((ShardId(take_u128(&mut rest)?), Group(take_u64(&mut rest)?)))
    }

    /// Opens the file, makes it if there is none, and notes the last group of this store.
    pub(crate) fn open(folder: &Path, store: ShardId, last: Group) -> Result<Self, OpenError> {
        let path = folder.join(FILE_NAME);
        let promise = Self(open_map(&path).map_err(failed(&path))?);
        let id = MailboxId(store.0);
        let words = line(&promise.0, 0);
        // Nothing is promised while it is half of another store's.
        words[3].store(0, Ordering::Release);
        words[1].store(high(id).to_be(), Ordering::Release);
        words[2].store(low(id).to_be(), Ordering::Release);
        promise.keep(last);
        Ok(promise)
    }

    /// This group is on the disk. A word of memory: no lock, no system call.
    pub(crate) fn keep(&self, group: Group) {
        line(&self.0, 0)[3].store(group.0.to_be(), Ordering::Release);
    }
}
