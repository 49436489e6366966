//! The mapped file of the slots: its lines of words.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

use crate::files::overwrite_in_place;

/// How many slots there are, one for each thread that handles records.
pub const SLOTS: usize = 256;

/// What the file is called.
pub(super) const FILE_NAME: &str = "slots";

/// One cache line, so that two threads never write the same one.
pub(super) const LINE_BYTES: usize = 64;
/// How many words of a line are used.
pub(super) const WORDS: usize = 4;
/// How many of them a slot uses.
pub(super) const SLOT_WORDS: usize = 3;
/// The first line says what the file is, of which store, and how far its journal is.
pub(super) const FILE_BYTES: usize = (1 + SLOTS) * LINE_BYTES;
pub(super) const MAGIC: [u8; 8] = *b"EVPSLOT\x03";
/// Had no store and no group in the first line; the first of them only knew records. The slots are the same.
const OLDER_MAGICS: [[u8; 8]; 2] = [*b"EVPSLOT\x01", *b"EVPSLOT\x02"];

#[expect(
    unsafe_code,
    reason = "the only way to the words of a mapped file; the second of the two places with unsafe code"
)]
#[inline]
pub(super) fn line(map: &MmapRaw, number: usize) -> &[AtomicU64; WORDS] {
    assert!(number <= SLOTS, "lines are numbered from 0 to {SLOTS}");
    let offset = number * LINE_BYTES;
    // SAFETY: the map is FILE_BYTES long (checked when it was made) and lives as long as what is returned; the line at
    // `offset` is within it, longer than the words, and a multiple of 64 from a page boundary, so the pointer is valid
    // and aligned. The process reaches these bytes through atomics only. The lock of the store keeps other processes
    // from opening the file, and its blocks are written when it is made, so that a store to it cannot fail for want of
    // disk.
    unsafe { &*map.as_mut_ptr().add(offset).cast() }
}

/// Maps the file; makes it anew if it is not of this shape.
pub(super) fn open_map(path: &Path) -> std::io::Result<MmapRaw> {
    if let Ok(old) = std::fs::read(path)
        && !(old.len() == FILE_BYTES && OLDER_MAGICS.iter().chain([&MAGIC]).any(|magic| old.starts_with(magic)))
    {
        tracing::warn!(path = %path.display(), "the slots file has another shape: made anew, no record is suspected");
        std::fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() == 0 {
        overwrite_in_place(&file);
        write_new(&mut file)?;
    } else {
        // What a program of an older version has left reads the same.
        file.write_all(&MAGIC)?;
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
