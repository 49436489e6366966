//! What each thread has in hand, and how far the journal is, in a small mapped file: it survives the process, though
//! not always the machine.
//!
//! A record that kills the process whenever it is handled has to be found out after the fact. So each thread notes
//! what it works on, with a store to memory that the kernel keeps when the process is gone. Nothing
//! here is ever synced: what is in hand is a hint to look at those records first, and the journal is at least as far as
//! is said here, or has been exchanged for an older one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapRaw;

use crate::error::OpenError;
use crate::folder::failed;
use crate::ids::{Group, MailboxId, Position, StoreId};
use crate::in_place;
use crate::key::{take_u64, take_u128};

/// How many slots there are, one for each thread that handles records.
pub const SLOTS: usize = 256;

/// One cache line, so that two threads never write the same one.
const LINE_BYTES: usize = 64;
/// How many words of a line are used.
const WORDS: usize = 4;
/// How many of them a slot uses.
const SLOT_WORDS: usize = 3;
/// The first line says what the file is, of which store, and how far its journal is.
const FILE_BYTES: usize = (1 + SLOTS) * LINE_BYTES;
const MAGIC: [u8; 8] = *b"EVPSLOT\x03";
/// Had no store and no group in the first line; the first of them only knew records. The slots are the same.
const OLDER_MAGICS: [[u8; 8]; 2] = [*b"EVPSLOT\x01", *b"EVPSLOT\x02"];

/// What the first word says beside a position, which never comes near these bits.
const TAGS: u64 = 0b11 << 62;
const MAILBOX_OF: u64 = 0b01 << 62;
const MAILBOX: u64 = 0b10 << 62;
const QUESTION: u64 = 0b11 << 62;

/// What a thread has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The record at this position.
    Record(Position),
    /// What is kept for the mailbox of the record at this position, while that is worked on.
    MailboxOf(Position),
    /// What is kept for this mailbox, with no record in hand.
    Mailbox(MailboxId),
    /// Something about this mailbox that leaves no trace.
    Question(MailboxId),
}

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

/// What a slot said before something else was noted in it.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    first: u64,
    /// The other words, where they were changed.
    mailbox: Option<[u64; SLOT_WORDS - 1]>,
}

/// The last group that was acknowledged, in the first line.
#[derive(Debug)]
pub(crate) struct Promise(MmapRaw);

/// What a thread has in hand at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHand {
    /// Which of the slots it is.
    pub slot: usize,
    /// Changes whenever something is noted or put back: two looks that find the same have found the same piece of work.
    pub turn: u64,
    /// What the slot says.
    pub mark: Mark,
}

/// How often a slot has changed, on a line of its own. Not a part of the file: it means nothing to the next run.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Turns(AtomicU64);

#[derive(Debug)]
struct Shared {
    map: MmapRaw,
    turns: Box<[Turns]>,
    /// Touched when a thread starts and ends, not on the way.
    free: Mutex<Vec<usize>>,
}

impl Slots {
    /// The name of their file in the folder of a store.
    pub const FILE_NAME: &str = "slots";

    /// Opens the slots of the store in `folder`, makes the file if there is none, and clears it. Call it once per
    /// run, while the [`Store`](crate::Store) of that folder is open: its lock also guards this file.
    ///
    /// Returns what was in hand when the last run ended, in order, each once: nothing after a clean end. These are hints,
    /// which may name records that are long gone.
    ///
    /// # Errors
    ///
    /// [`OpenError::Folder`] if the file cannot be read or made. A file of another shape is made anew, with a
    /// warning.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Mark>), OpenError> {
        let path = folder.join(Self::FILE_NAME);
        let map = open_map(&path).map_err(failed(&path))?;
        let turns = std::iter::repeat_with(Turns::default).take(SLOTS).collect();
        let shared = Shared { map, turns, free: Mutex::new((0..SLOTS).rev().collect()) };
        let mut left: Vec<Mark> = (0..SLOTS).filter_map(|index| shared.take(index)).collect();
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

    /// What all threads have in hand now, as far as that can be seen: what changes meanwhile is left out.
    #[must_use]
    pub fn in_hand(&self) -> Vec<InHand> {
        (0..SLOTS).filter_map(|slot| self.shared.look(slot)).collect()
    }
}

impl Slot {
    /// Notes what this thread has in hand from here on; returns what is to be put back when it has not. A few words of
    /// memory: no lock, no system call.
    #[inline]
    pub fn set(&mut self, mark: Mark) -> Before {
        let (first, mailbox) = match mark {
            Mark::Record(position) => (position.0, None),
            Mark::MailboxOf(position) => (MAILBOX_OF | position.0, None),
            Mark::Mailbox(mailbox) => (MAILBOX, Some(mailbox)),
            Mark::Question(mailbox) => (QUESTION, Some(mailbox)),
        };
        let line = self.shared.line(self.index);
        let before = Before {
            first: line[0].load(Ordering::Relaxed),
            mailbox: mailbox.map(|_| [line[1].load(Ordering::Relaxed), line[2].load(Ordering::Relaxed)]),
        };
        self.turn();
        store(line, first.to_be(), mailbox.map(|mailbox| [high(mailbox).to_be(), low(mailbox).to_be()]));
        before
    }

    /// Puts back what the slot said before.
    #[inline]
    pub fn put_back(&mut self, before: Before) {
        self.turn();
        store(self.shared.line(self.index), before.first, before.mailbox);
    }

    /// Only this thread writes it.
    #[inline]
    fn turn(&self) {
        let turns = &self.shared.turns[self.index].0;
        turns.store(turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// The first word last, which says whether the others count. Half a change names no mailbox at all.
fn store(line: &[AtomicU64; WORDS], first: u64, mailbox: Option<[u64; SLOT_WORDS - 1]>) {
    if let Some([high, low]) = mailbox {
        line[1].store(high, Ordering::Relaxed);
        line[2].store(low, Ordering::Relaxed);
    }
    line[0].store(first, Ordering::Release);
}

impl Drop for Slot {
    fn drop(&mut self) {
        store(self.shared.line(self.index), 0, Some([0; SLOT_WORDS - 1]));
        self.shared.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

impl Shared {
    fn take(&self, index: usize) -> Option<Mark> {
        let line = self.line(index);
        mark(u64::from_be(line[0].swap(0, Ordering::AcqRel)), line)
    }

    fn look(&self, slot: usize) -> Option<InHand> {
        let turn = || self.turns[slot].0.load(Ordering::Acquire);
        let (before, line) = (turn(), self.line(slot));
        let mark = mark(u64::from_be(line[0].load(Ordering::Acquire)), line)?;
        // What was read of the line was read before this.
        fence(Ordering::Acquire);
        (turn() == before).then_some(InHand { slot, turn: before, mark })
    }

    #[inline]
    fn line(&self, index: usize) -> &[AtomicU64; WORDS] {
        line(&self.map, 1 + index)
    }
}

/// What a line says whose first word this is.
fn mark(first: u64, line: &[AtomicU64; WORDS]) -> Option<Mark> {
    let id = |word: usize| u128::from(u64::from_be(line[word].load(Ordering::Relaxed)));
    let (position, mailbox) = (Position(first & !TAGS), || MailboxId(id(1) << 64 | id(2)));
    match first & TAGS {
        0 => (first != 0).then_some(Mark::Record(position)),
        MAILBOX_OF => Some(Mark::MailboxOf(position)),
        MAILBOX => Some(Mark::Mailbox(mailbox())),
        _ => Some(Mark::Question(mailbox())),
    }
}

#[expect(
    unsafe_code,
    reason = "the only way to the words of a mapped file; the second of the two places with unsafe code"
)]
#[inline]
fn line(map: &MmapRaw, number: usize) -> &[AtomicU64; WORDS] {
    assert!(number <= SLOTS, "lines are numbered from 0 to {SLOTS}");
    let offset = number * LINE_BYTES;
    // SAFETY: the map is FILE_BYTES long (checked when it was made) and lives as long as what is returned; the line at
    // `offset` is within it, longer than the words, and a multiple of 64 from a page boundary, so the pointer is valid
    // and aligned. The process reaches these bytes through atomics only. The lock of the store keeps other processes
    // from opening the file, and its blocks are written when it is made, so that a store to it cannot fail for want of
    // disk.
    unsafe { &*map.as_mut_ptr().add(offset).cast() }
}

impl Promise {
    /// The store whose file it is, and what was promised of it; none where the file is missing or knows nothing.
    /// Changes nothing.
    pub(crate) fn read(folder: &Path) -> Result<Option<(StoreId, Group)>, OpenError> {
        let path = folder.join(Slots::FILE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path)(source)),
        }
    }

    fn decode(bytes: &[u8]) -> Option<(StoreId, Group)> {
        let mut rest = bytes.strip_prefix(&MAGIC).filter(|_| bytes.len() == FILE_BYTES)?;
        Some((StoreId(take_u128(&mut rest)?), Group(take_u64(&mut rest)?)))
    }

    /// Opens the file, makes it if there is none, and notes the last group of this store.
    pub(crate) fn open(folder: &Path, store: StoreId, last: Group) -> Result<Self, OpenError> {
        let path = folder.join(Slots::FILE_NAME);
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

fn high(mailbox: MailboxId) -> u64 {
    u64::try_from(mailbox.0 >> 64).expect("half of it is left")
}

fn low(mailbox: MailboxId) -> u64 {
    u64::try_from(mailbox.0 & u128::from(u64::MAX)).expect("half of it is left")
}

/// Maps the file; makes it anew if it is not of this shape.
fn open_map(path: &PathBuf) -> std::io::Result<MmapRaw> {
    if let Ok(old) = std::fs::read(path)
        && !(old.len() == FILE_BYTES && OLDER_MAGICS.iter().chain([&MAGIC]).any(|magic| old.starts_with(magic)))
    {
        tracing::warn!(path = %path.display(), "the slots file has another shape: made anew, no record is suspected");
        std::fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() == 0 {
        in_place::ask(&file);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MAILBOX: MailboxId = MailboxId(u128::MAX - 7);

    #[test]
    fn what_was_in_hand_is_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, []);
        let marks = [
            Mark::Record(Position(3)),
            Mark::Record(Position(7)),
            Mark::MailboxOf(Position(5)),
            Mark::Mailbox(MAILBOX),
            Mark::Question(MailboxId(1)),
        ];
        let mut all: Vec<Slot> = std::iter::from_fn(|| slots.claim()).take(marks.len() + 1).collect();
        for (slot, mark) in all.iter_mut().zip(marks) {
            slot.set(mark);
        }
        let ended = all.last_mut().unwrap();
        let nothing = ended.set(Mark::Record(Position(9)));
        let record = ended.set(Mark::Mailbox(MAILBOX));
        ended.put_back(record);
        assert_eq!(ended.shared.take(ended.index), Some(Mark::Record(Position(9))));
        ended.put_back(nothing);
        // A crash: no destructor runs.
        std::mem::forget(all);
        let (_, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, marks);
        let (_, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, []);
    }

    #[test]
    fn the_bytes_of_marks_are_fixed_and_a_file_of_version_1_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(Slots::FILE_NAME);
        let line = |first: u8, bytes: &[u8]| {
            let mut line = vec![first];
            line.extend_from_slice(bytes);
            line.resize(LINE_BYTES, 0);
            line
        };
        let lines = [
            line(b'E', b"VPSLOT\x03"),
            line(0, &[0, 0, 0, 0, 0, 1, 2]),
            line(0x40, &[0, 0, 0, 0, 0, 1, 2]),
            line(0x80, &[0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            line(0xc0, &[0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        ];
        let mailbox = MailboxId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let marks = [
            Mark::Record(Position(258)),
            Mark::MailboxOf(Position(258)),
            Mark::Mailbox(mailbox),
            Mark::Question(mailbox),
        ];
        let (slots, _) = Slots::open(folder.path()).unwrap();
        for mark in marks {
            let mut slot = slots.claim().unwrap();
            slot.set(mark);
            std::mem::forget(slot);
        }
        let mut bytes = std::fs::read(&file).unwrap();
        assert_eq!(bytes[..5 * LINE_BYTES], lines.concat());
        bytes.truncate(2 * LINE_BYTES);
        bytes[7] = 1;
        bytes.resize(FILE_BYTES, 0);
        std::fs::write(&file, bytes).unwrap();
        let (_, left) = Slots::open(folder.path()).unwrap();
        assert_eq!(left, [Mark::Record(Position(258))]);
        assert_eq!(std::fs::read(&file).unwrap()[..8], MAGIC);
    }

    #[test]
    fn looks_see_what_is_in_hand_and_whether_it_is_still_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (slots, _) = Slots::open(folder.path()).unwrap();
        let mut slot = slots.claim().unwrap();
        assert_eq!(slots.in_hand(), []);
        let before = slot.set(Mark::Record(Position(7)));
        let [first] = slots.in_hand()[..] else { panic!("{:?}", slots.in_hand()) };
        assert_eq!((first.mark, slots.in_hand()), (Mark::Record(Position(7)), vec![first]), "nothing has changed");
        let within = slot.set(Mark::Question(MailboxId(1 << 100 | 5)));
        let [second] = slots.in_hand()[..] else { panic!("{:?}", slots.in_hand()) };
        assert_eq!((second.slot, second.mark), (first.slot, Mark::Question(MailboxId(1 << 100 | 5))));
        slot.put_back(within);
        slot.put_back(before);
        assert_eq!(slots.in_hand(), []);
        let _before = slot.set(Mark::Record(Position(7)));
        let [again] = slots.in_hand()[..] else { panic!("{:?}", slots.in_hand()) };
        assert!(again.mark == first.mark && again.turn != first.turn, "the same message, and another poll");
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
        slots.claim().unwrap().set(Mark::Record(Position(1)));
    }
}
