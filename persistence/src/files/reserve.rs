//! Disk that is set aside ahead of the end of a data file, so that a store can still be drained on a disk that others
//! have filled: LMDB writes a page anew before it frees the old one, so it needs room even to delete.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// What a system counts blocks of a file in.
const BLOCK_BYTES: u64 = 512;

/// The disk of one data file.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
    bytes: u64,
    map_bytes: u64,
}

impl Reserve {
    /// `bytes` are to be there beyond the end of the file, and no more than the map needs in all.
    pub(crate) fn new(file: File, bytes: u64, map_bytes: u64) -> Self {
        Self { file, bytes, map_bytes }
    }

    /// Sets aside what is missing, if the disk has it. Returns how far the file can grow without asking the disk for
    /// more, in bytes; `u64::MAX` where nothing is set aside, or cannot be known.
    pub(crate) fn renew(&self) -> u64 {
        if self.bytes == 0 {
            return u64::MAX;
        }
        let Ok(found) = self.file.metadata() else { return u64::MAX };
        let wanted = |bytes: u64| found.len().saturating_add(bytes).min(self.map_bytes);
        let there = |found: &std::fs::Metadata| found.blocks().saturating_mul(BLOCK_BYTES).max(found.len());
        // Not at each page that the file grows by.
        if there(&found) >= wanted(self.bytes / 2) {
            return there(&found);
        }
        match allocate(&self.file, wanted(self.bytes)) {
            Ok(true) => self.file.metadata().map_or(u64::MAX, |found| there(&found)),
            Ok(false) => u64::MAX,
            // The disk is full: what was set aside before is there.
            Err(_) => there(&found),
        }
    }
}

/// Gives the first `bytes` of a file blocks on the disk, without changing its length, which is how LMDB tells a new
/// file. False if the file system cannot do that.
pub(crate) fn allocate(file: &File, bytes: u64) -> std::io::Result<bool> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_set_aside_stays_ahead_of_the_end_and_within_the_map() {
        let mut file = tempfile::tempfile().unwrap();
        let reserve = Reserve::new(file.try_clone().unwrap(), 1 << 20, 3 << 20);
        let first = reserve.renew();
        if first == u64::MAX {
            eprintln!("skipped: the file system sets nothing aside");
            return;
        }
        assert!(first >= 1 << 20);
        assert_eq!(file.metadata().unwrap().len(), 0, "a new file stays a new file");
        file.write_all(&[1; 900_000]).unwrap();
        assert!(reserve.renew() >= 900_000 + (1 << 20));
        file.write_all(&[1; 2 << 20]).unwrap();
        assert!((3 << 20..4 << 20).contains(&reserve.renew()), "no more than the map");
    }

    #[test]
    fn without_a_reserve_nothing_is_set_aside() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Reserve::new(file.try_clone().unwrap(), 0, 1 << 20).renew(), u64::MAX);
        assert_eq!(file.metadata().unwrap().blocks(), 0);
    }
}
