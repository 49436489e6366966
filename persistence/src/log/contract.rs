//! What a log does. The writer speaks to this, whatever is behind it.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::batch::Origin;
use crate::error::{CommitError, ReadError};
use crate::hash::Chain;
use crate::ids::{Group, ShardId};

/// An ordered log of groups. Each is appended once, as the bytes of its [`Batch`](crate::Batch), after the one before.
///
/// It knows nothing of what is committed: a group that is *flushed* is on the medium of this log, and that is all.
/// Whether that is enough for it to count is for whoever writes.
///
/// An error is final: the outcome of what was not flushed is unknown until the log is opened again.
pub trait Log {
    /// So many bytes of any content come before a batch in [`append`](Self::append).
    const HEADROOM: usize;

    /// Appends the next group. `buffer` is [`HEADROOM`](Self::HEADROOM), which is written over, then the batch. It may
    /// be flushed by that, or later.
    ///
    /// # Errors
    ///
    /// Why that failed. The group is in the log whole, or not at all.
    ///
    /// # Panics
    ///
    /// If it is another group than the next one: a defect of the caller.
    fn append(&mut self, group: Group, buffer: &mut [u8]) -> Result<(), CommitError>;

    /// Waits until everything that was appended is flushed.
    ///
    /// # Errors
    ///
    /// Why that failed: what was appended since the last time is in the log up to some group.
    fn flush(&mut self) -> Result<(), CommitError>;

    /// The last group that is on the medium, or that was cut off in front.
    fn flushed(&self) -> Group;

    /// The last group that was appended, or that was cut off in front.
    fn last(&self) -> Group;

    /// The shard whose groups these are.
    fn shard(&self) -> ShardId;

    /// What the next group follows on.
    fn origin(&self) -> Origin;

    /// Hands over the flushed groups from this one on, in order, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// Damage to a group, after those before it were visited.
    ///
    /// # Panics
    ///
    /// If groups from there on were cut off: a defect of the caller.
    fn read(&self, from: Group, visit: impl FnMut(LogEntry) -> ControlFlow<()>) -> Result<(), ReadError>;

    /// Says that nobody needs the groups up to this one any more. They go little by little, with the groups that are
    /// appended.
    fn cut_front(&mut self, to: Group);

    /// Lets go of some groups that nobody needs, a bounded number, without waiting for another one to be appended;
    /// false if there were none.
    ///
    /// # Errors
    ///
    /// Why that failed.
    fn trim(&mut self) -> Result<bool, CommitError>;

    /// Takes back the groups from this one on, which then was never appended. For a log whose end another one
    /// overrules.
    ///
    /// # Errors
    ///
    /// Why that failed.
    ///
    /// # Panics
    ///
    /// If groups from there on were cut off in front: a defect of the caller.
    fn cut_back(&mut self, from: Group) -> Result<(), CommitError>;

    /// How much of its room is used, in bytes.
    fn used_bytes(&self) -> u64;

    /// Marks that what ran on the log has ended in an orderly way; nobody needs any of its groups any more.
    ///
    /// # Errors
    ///
    /// Why that failed.
    fn finish(&mut self) -> Result<(), CommitError>;

    /// The group that comes next.
    fn next(&self) -> Group {
        self.last().next()
    }
}

/// A group in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number.
    pub group: Group,
    /// Its batch, as [`Batch::decode`](crate::Batch::decode) reads it.
    pub batch: Bytes,
    /// The hash of all groups up to this one.
    pub chain: Chain,
}
