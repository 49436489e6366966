//! What each thread has in hand, in a small mapped file: it survives the process, though not the machine.
//!
//! A record that kills the process whenever it is handled has to be found out after the fact. So each thread notes
//! the position that it handles, with one store to memory that the kernel keeps when the process is gone. Nothing
//! here is ever synced, and nothing that is read back is trusted: it is a hint to look at those records first.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapRaw;

use crate::error::OpenError;
use crate::ids::Position;

/// How many slots there are, one for each thread that handles records.
pub const SLOTS: usize = 256;

/// One cache line, so that two threads never write the same one.
const LINE_BYTES: usize = 64;
/// The first line says what the file is.
const FILE_BYTES: usize = (1 + SLOTS) * LINE_BYTES;
const MAGIC: [u8; 8] = *b"EVPSLOT\x01";

/// The slots of one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots {
    shared: Arc<Shared>,
}

/// One slot, for one thread. Cleared and given back when dropped.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    index: usize,
}

#[derive(Debug)]
struct Shared {
    map: MmapRaw,
    /// Touched when a thread starts and ends, not on the way.
    free: Mutex<Vec<usize>>,
}

impl Slots {
    /// The name of their file in the folder of a store.
    pub const FILE_NAME: &str = "slots";

    /// Opens the slots of the store in `folder`, makes the file if there is none, and clears it. Call it once per
    /// run, while the [`Store`](crate::Store) of that folder is open: its lock also guards this file.
    ///
    /// Returns the positions that were in hand when the last run ended, in order, each once: none after a clean end.
    /// They are hints, which may name records that are long gone.
    ///
    /// # Errors
    ///
    /// [`OpenError::Folder`] if the file cannot be read or made. A file of another shape is made anew, with a
    /// warning.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Position>), OpenError> {
        let path = folder.join(Self::FILE_NAME);
        let map = open_map(&path).map_err(|source| OpenError::Folder { path, source })?;
        let shared = Shared { map, free: Mutex::new((0..SLOTS).rev().collect()) };
        let mut left: Vec<Position> =
            (0..SLOTS).map(|index| shared.take(index)).filter(|position| position.0 != 0).collect();
        left.sort_unstable();
        left.dedup();
        Ok((Self { shared: Arc::new(shared) }, left))
    }

    /// Takes a free slot; `None` if all are taken: then that thread's work cannot become suspect, and everything else
    /// goes on.
    #[must_use]
    pub fn claim(&self) -> Option<Slot> {
        let index = self.shared.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Slot { shared: Arc::clone(&self.shared), index })
    }
}

impl Slot {
    /// Notes that this thread now handles the record at `position`. One store to memory: no lock, no system call.
    pub fn set(&mut self, position: Position) {
        self.shared.slot(self.index).store(position.0.to_be(), Ordering::Release);
    }

    /// Notes that this thread handles nothing.
    pub fn clear(&mut self) {
        self.set(Position(0));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.clear();
        self.shared.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

impl Shared {
    fn take(&self, index: usize) -> Position {
        Position(u64::from_be(self.slot(index).swap(0, Ordering::AcqRel)))
    }

    #[expect(
        unsafe_code,
        reason = "the only way to a word of a mapped file; the second of the two places with unsafe code"
    )]
    fn slot(&self, index: usize) -> &AtomicU64 {
        assert!(index < SLOTS, "slots are numbered from 0 to {}", SLOTS - 1);
        let offset = (1 + index) * LINE_BYTES;
        // SAFETY: the map is FILE_BYTES long (checked when it was made) and lives as long as `self`; `offset` plus
        // eight is within it and a multiple of 64 from a page boundary, so the pointer is valid and aligned. The
        // process reaches these bytes through atomics only. The lock of the store keeps other processes from opening
        // the file, and its blocks are written when it is made, so that a store to it cannot fail for want of disk.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }
}

/// Maps the file; makes it anew if it is not of this shape.
fn open_map(path: &PathBuf) -> std::io::Result<MmapRaw> {
    if let Ok(old) = std::fs::read(path)
        && !(old.len() == FILE_BYTES && old.starts_with(&MAGIC))
    {
        tracing::warn!(path = %path.display(), "the slots file has another shape: made anew, no record is suspected");
        std::fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() == 0 {
        write_new(&mut file)?;
    }
    let map = MmapRaw::map_raw(&file)?;
    if map.len() != FILE_BYTES {
        return Err(std::io::Error::other("the slots file changed while it was opened"));
    }
    Ok(map)
}

/// Writes every byte, so that the disk blocks exist: a store to a mapped hole can kill the process when the disk is
/// full.
fn write_new(file: &mut File) -> std::io::Result<()> {
    let mut bytes = [0; FILE_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    file.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_hand_is_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, []);
        let (mut first, mut second, mut third) =
            (slots.claim().unwrap(), slots.claim().unwrap(), slots.claim().unwrap());
        first.set(Position(7));
        second.set(Position(3));
        third.set(Position(9));
        third.clear();
        // A crash: no destructor runs.
        std::mem::forget((first, second, third));
        let (_, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, [Position(3), Position(7)]);
        let (_, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, []);
    }

    #[test]
    fn slots_are_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, _) = Slots::open(folder.path()).unwrap();
        let all: Vec<Slot> = std::iter::from_fn(|| slots.claim()).collect();
        assert_eq!(all.len(), SLOTS);
        drop(all);
        assert!(slots.claim().is_some());
    }

    #[test]
    fn a_file_of_another_shape_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(Slots::FILE_NAME), b"something else").unwrap();
        let (slots, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, []);
        slots.claim().unwrap().set(Position(1));
    }
}
