//! Reads an identity anew when its files have changed: certificates are renewed while nodes run.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Identity, IdentityError};

/// The files of an identity, as they were before they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files(pub(super) [(PathBuf, Stamp); 3]);

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// A file that was moved into the place of another may be as old and as long.
    inode: u64,
}

impl Files {
    /// How they are now. One that cannot be looked at is like no other.
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

impl Identity {
    /// Reads the files once more if one of them has changed since this was read from them; none if they are the same. It looks
    /// at the files, so it blocks as they do.
    ///
    /// # Errors
    ///
    /// As [`Identity::load`]: they may be in the middle of being renewed, and are right a moment later. This is what it was.
    pub fn renewed(&self) -> Result<Option<Self>, IdentityError> {
        let paths = self.files.0.each_ref().map(|(path, _)| path.clone());
        if Files::look(paths.clone()) == self.files {
            return Ok(None);
        }
        let [certificate, key, authority] = &paths;
        let renewed = Self::load(certificate, key, authority)?;
        Ok(Some(Self { clock: self.clock.clone(), ..renewed }))
    }
}
