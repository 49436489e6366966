//! A log in memory that fails, tears and loses on demand, for tests.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::contract::{Log, LogEntry};
use crate::batch::{Header, Origin};
use crate::error::{CommitError, Environment, ReadError};
use crate::hash::Chain;
use crate::ids::{Group, ShardId};

/// A log in memory. Its medium outlives it, as a disk does.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    medium: Medium,
    shard: ShardId,
    run: u64,
    /// Appended, and not flushed.
    buffered: Vec<LogEntry>,
    needless: Group,
}

/// What a log leaves when its process is gone. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Medium(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// The last group that was cut off in front, and the chain of all up to it.
    cut: (Group, Chain),
    entries: VecDeque<LogEntry>,
    faults: Faults,
}

/// What is to go wrong, each once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// The group whose append fails.
    pub(crate) append: Option<Group>,
    /// The group whose flush fails.
    pub(crate) flush: Option<(Group, FailedFlush)>,
}

/// What of a group is on the medium although its flush failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedFlush {
    Nothing,
    /// A part of the group, which is found out when it is opened again.
    Torn,
    Everything,
}

impl Medium {
    /// Opens the log that lies there: what was not flushed by the one before is lost, and so is a group that is torn.
    pub(crate) fn open(&self, shard: ShardId, run: u64) -> MemoryLog {
        let mut contents = self.lock();
        if contents.entries.back().is_some_and(|last| !is_whole(last)) {
            contents.entries.pop_back();
        }
        drop(contents);
        MemoryLog { medium: self.clone(), shard, run, buffered: Vec::new(), needless: Group(0) }
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }
}

/// Whether the chain, as a checksum would, says that the batch is all there.
fn is_whole(entry: &LogEntry) -> bool {
    let before = Header::decode(&entry.batch).ok().and_then(|header| header.origin).map(|origin| origin.before);
    before.is_some_and(|before| before.with(crc32c::crc32c(&entry.batch)) == entry.chain)
}

impl Contents {
    fn last(&self) -> (Group, Chain) {
        self.entries.back().map_or(self.cut, |last| (last.group, last.chain))
    }
}

fn injected() -> CommitError {
    let source = Arc::new(std::io::Error::other("injected"));
    CommitError::Io { which: Environment::Journal, source }
}

impl Log for MemoryLog {
    /// Another one than the journal has, so that nobody counts on that.
    const HEADROOM: usize = 3;

    fn append(&mut self, group: Group, buffer: &mut [u8]) -> Result<(), CommitError> {
        assert_eq!(group, self.next(), "groups are appended in order");
        if self.medium.lock().faults.append.take_if(|fails| *fails == group).is_some() {
            return Err(injected());
        }
        buffer[..Self::HEADROOM].fill(0xEE);
        let batch = Bytes::copy_from_slice(&buffer[Self::HEADROOM..]);
        let chain = self.origin().before.with(crc32c::crc32c(&batch));
        self.buffered.push(LogEntry { group, batch, chain });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CommitError> {
        let mut contents = self.medium.lock();
        for entry in self.buffered.drain(..) {
            let fault = contents.faults.flush.take_if(|(group, _)| *group == entry.group);
            match fault {
                None => contents.entries.push_back(entry),
                Some((_, how)) => {
                    let whole = entry.batch.len();
                    let left = if how == FailedFlush::Torn { whole / 2 } else { whole };
                    if how != FailedFlush::Nothing {
                        contents.entries.push_back(LogEntry { batch: entry.batch.slice(..left), ..entry });
                    }
                    return Err(injected());
                }
            }
        }
        while contents.entries.front().is_some_and(|first| first.group <= self.needless) {
            let first = contents.entries.pop_front().unwrap();
            contents.cut = (first.group, first.chain);
        }
        Ok(())
    }

    fn flushed(&self) -> Group {
        self.medium.lock().last().0
    }

    fn last(&self) -> Group {
        self.buffered.last().map_or_else(|| self.flushed(), |last| last.group)
    }

    fn shard(&self) -> ShardId {
        self.shard
    }

    fn origin(&self) -> Origin {
        let before = self.buffered.last().map_or_else(|| self.medium.lock().last().1, |last| last.chain);
        Origin { before, run: self.run }
    }

    fn read(&self, from: Group, mut visit: impl FnMut(LogEntry) -> ControlFlow<()>) -> Result<(), ReadError> {
        let contents = self.medium.lock();
        assert!(from > contents.cut.0, "groups that were cut off cannot be read");
        for entry in contents.entries.iter().filter(|entry| entry.group >= from) {
            if visit(entry.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn cut_front(&mut self, to: Group) {
        self.needless = to;
    }

    fn trim(&mut self) -> Result<bool, CommitError> {
        let mut contents = self.medium.lock();
        let Some(first) = contents.entries.pop_front_if(|first| first.group <= self.needless) else { return Ok(false) };
        contents.cut = (first.group, first.chain);
        Ok(true)
    }

    fn cut_back(&mut self, from: Group) -> Result<(), CommitError> {
        self.buffered.retain(|entry| entry.group < from);
        let mut contents = self.medium.lock();
        assert!(from > contents.cut.0, "groups that were cut off in front cannot be taken back");
        contents.entries.retain(|entry| entry.group < from);
        Ok(())
    }

    fn used_bytes(&self) -> u64 {
        self.medium.lock().entries.iter().map(|entry| entry.batch.len() as u64).sum()
    }

    fn finish(&mut self) -> Result<(), CommitError> {
        self.cut_front(self.last());
        while self.trim()? {}
        Ok(())
    }
}
