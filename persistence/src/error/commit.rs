//! Why a store stopped.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::environment::Environment;

/// Why the store stopped. Final: what was reported durable is on disk, the outcome of everything else is unknown
/// until the store is reopened.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// An LMDB map has no free page left.
    #[error(
        "the map of the {which} is full: everything reported durable is safe, nothing more is stored; close, \
         configure a larger map, open again"
    )]
    MapFull {
        /// The environment.
        which: Environment,
    },
    /// The file system has no room left.
    #[error(
        "the disk is full, the {which} could not commit ({source}): everything reported durable is safe, nothing \
         more is stored; free space and open again"
    )]
    DiskFull {
        /// The environment.
        which: Environment,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A write or a sync failed.
    #[error(
        "the {which} could not commit ({source}): everything reported durable is safe, the outcome of the rest is \
         unknown; check the disk, then open again"
    )]
    Io {
        /// The environment.
        which: Environment,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// LMDB refused for another reason.
    #[error(
        "the {which} could not commit ({reason}): everything reported durable is safe, the outcome of the rest is \
         unknown; open again"
    )]
    Storage {
        /// The environment.
        which: Environment,
        /// What LMDB said.
        reason: Arc<str>,
    },
    /// The folder of the store, or a file in it, was removed, moved or replaced while it was open.
    #[error(
        "{} {found}: the data folder was removed, moved or replaced while it was in use, and nothing more is stored; \
         what was acknowledged is in the files that this process keeps open, and is lost with the process where they \
         have no name any more: before it ends, restore the folder, or copy `journal/data.mdb` and `tables/data.mdb` \
         out of /proc/{}/fd into a new one; then open that",
        path.display(),
        std::process::id()
    )]
    Displaced {
        /// What was opened.
        path: Arc<Path>,
        /// What is there now.
        found: &'static str,
    },
    /// The tables lost or changed a record while they were open.
    #[error(
        "the tables were damaged while the store was open: {what}; everything reported durable was written, nothing \
         more is stored: keep the folder as it is, check the disk, and restore from a backup or ask for help"
    )]
    Damaged {
        /// What does not hold.
        what: Arc<str>,
    },
    /// A thread of the store panicked; a defect of this program.
    #[error(
        "the {thread} thread of the store panicked: everything reported durable is safe, the outcome of the rest \
         is unknown; open again and report this"
    )]
    Panicked {
        /// The thread.
        thread: &'static str,
    },
}

impl CommitError {
    /// `folder` is that of the environment: LMDB reports a write that the disk cut short as an input/output error, so
    /// a disk without room for another page tells the two apart.
    pub(crate) fn new(which: Environment, folder: &Path, error: heed::Error) -> Self {
        const SHORT_OF_ROOM_BYTES: u64 = 1 << 20;
        match error {
            heed::Error::Mdb(heed::MdbError::MapFull) => Self::MapFull { which },
            heed::Error::Io(source) => {
                let free = || rustix::fs::statvfs(folder).map_or(u64::MAX, |stat| stat.f_bavail * stat.f_frsize);
                let full = match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => true,
                    _ => {
                        source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
                            && free() < SHORT_OF_ROOM_BYTES
                    }
                };
                let source = Arc::new(source);
                if full { Self::DiskFull { which, source } } else { Self::Io { which, source } }
            }
            other => Self::Storage { which, reason: other.to_string().into() },
        }
    }
}

crate::error_text::debug_as_text!(CommitError);
