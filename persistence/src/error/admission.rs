//! Why there is no room.

use super::commit::CommitError;
use super::environment::Environment;

/// Why there is no room for a submission. Nothing was taken and nothing was stored.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The writer's queue has no room right now (only [`Store::try_reserve`](crate::Store::try_reserve) says so).
    #[error("the writer's queue is full: nothing was stored; wait with `reserve`, or try again")]
    QueueFull,
    /// The store is too full for this class of submission.
    #[error(
        "the {which} of the store is {used_percent} % full: nothing was stored; let waiting messages be handled, \
         or configure a larger map"
    )]
    StoreFull {
        /// How full it is, counting what is on its way.
        used_percent: u8,
        /// The environment that is full.
        which: Environment,
    },
    /// The file system is too full for submissions from outside.
    #[error("the disk has {free} bytes free, below the headroom of {headroom}: nothing was stored; free some space")]
    DiskFull {
        /// Free bytes for an ordinary user.
        free: u64,
        /// What must be free.
        headroom: u64,
    },
    /// The store has failed.
    #[error("the store has failed and takes nothing any more: {0}")]
    Failed(CommitError),
    /// The store was closed.
    #[error("the store is closed: nothing was stored; open it again")]
    Closed,
    /// More than the queue or the maps could ever take in one submission.
    #[error(
        "a submission of {bytes} bytes is above the limit of {limit}, which follows from `{setting}`: nothing was \
         stored; split it, or raise that setting"
    )]
    TooLarge {
        /// The bytes asked for.
        bytes: usize,
        /// The most that one submission may have.
        limit: usize,
        /// The setting of the store that this follows from: `queue_bytes_max`, or a sixteenth of `journal_map_bytes` or
        /// `tables_map_bytes`.
        setting: &'static str,
    },
}

crate::error_text::debug_as_text!(AdmissionError);
