//! Whether the files of an identity have changed: certificates are renewed while nodes run.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// The files of an identity, as they were before they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files(pub(super) [(PathBuf, Stamp); 3]);

/// What changes when the content of a file changes; the file need not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// A file that replaces another may have the same age and length.
    inode: u64,
}

impl Files {
    /// How they are now.
    pub(super) fn look(paths: [PathBuf; 3]) -> Self {
        Self(paths.map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        }))
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    fs::metadata(path).map_or(Stamp { bytes: 0, modified: None, inode: 0 }, |metadata| Stamp {
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
        inode: inode(&metadata),
    })
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
