//! The slots that threads claim and write.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapRaw;

use super::map::{FILE_NAME, SLOT_WORDS, SLOTS, WORDS, line, open_map};
use super::mark::{Mark, mark, store};
use crate::error::{OpenError, failed};

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

/// What a thread has in flight at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
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
    /// Whether the file is another run's by now, see [`Slots::leave`].
    is_left: AtomicBool,
    /// Where everything is noted then.
    nowhere: [AtomicU64; WORDS],
    turns: Box<[Turns]>,
    /// Touched when a thread starts and ends, not on the way.
    free: Mutex<Vec<usize>>,
}

impl Slots {
    /// The name of their file in the folder of a store.
    pub const FILE_NAME: &str = FILE_NAME;

    /// Opens the slots of the store in `folder`, makes the file if there is none, and clears it. Call it once per
    /// run, while the [`Store`](crate::Store) of that folder is open: its lock also guards this file.
    ///
    /// Returns what was in flight when the last run ended, in order, each once: nothing after a clean end. These are
    /// hints, which may name records that are long gone.
    ///
    /// # Errors
    ///
    /// [`OpenError::Folder`] if the file cannot be read or made. A file of another shape is made anew, with a
    /// warning.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Mark>), OpenError> {
        let path = folder.join(Self::FILE_NAME);
        let map = open_map(&path).map_err(failed(&path))?;
        let turns = std::iter::repeat_with(Turns::default).take(SLOTS).collect();
        let shared = Shared {
            map,
            is_left: AtomicBool::new(false),
            nowhere: Default::default(),
            turns,
            free: Mutex::new((0..SLOTS).rev().collect()),
        };
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

    /// Leaves the file to the next run in this process: what threads note from here on, which are late, is noted
    /// nowhere.
    pub fn leave(&self) {
        self.shared.is_left.store(true, Ordering::Relaxed);
    }

    /// What all threads have in flight now, as far as that can be seen: what changes meanwhile is left out.
    #[must_use]
    pub fn in_flight(&self) -> Vec<InFlight> {
        (0..SLOTS).filter_map(|slot| self.shared.look(slot)).collect()
    }
}

impl Slot {
    /// Notes what this thread has in flight from here on; returns what is to be put back when it has not. A few words
    /// of memory: no lock, no system call.
    #[inline]
    pub fn set(&mut self, mark: Mark) -> Before {
        let (first, mailbox) = mark.words();
        let line = self.shared.line(self.index);
        let before = Before {
            first: line[0].load(Ordering::Relaxed),
            mailbox: mailbox.map(|_| [line[1].load(Ordering::Relaxed), line[2].load(Ordering::Relaxed)]),
        };
        self.turn();
        store(line, first, mailbox);
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

    fn look(&self, slot: usize) -> Option<InFlight> {
        let turn = || self.turns[slot].0.load(Ordering::Acquire);
        let (before, line) = (turn(), self.line(slot));
        let mark = mark(u64::from_be(line[0].load(Ordering::Acquire)), line)?;
        // What was read of the line was read before this.
        fence(Ordering::Acquire);
        (turn() == before).then_some(InFlight { slot, turn: before, mark })
    }

    #[inline]
    fn line(&self, index: usize) -> &[AtomicU64; WORDS] {
        if self.is_left.load(Ordering::Relaxed) { &self.nowhere } else { line(&self.map, 1 + index) }
    }
}

#[cfg(test)]
mod tests;
