//! The folder of a store: what is where in it, and the lock that keeps everybody else out.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The folder, locked as long as this lives. The lock ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and locks it. The lock also keeps a second handle in this process out.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Folder { path, source }
        };
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let file = path.join("lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(failed(&file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(failed(&file)(source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(crate) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file would not do while a child process that is just being started still has a copy of it. If this fails,
        // closing it is what is left.
        let _ = self.lock.unlock();
    }
}
