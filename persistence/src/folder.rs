//! The folder of a store: what is where in it, and the lock that keeps everybody else out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

const LOCK_FILE: &str = "lock";
const JOURNAL: &str = "journal";
const TABLES: &str = "tables";

/// The folder, locked as long as this lives. The lock ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and locks it. The lock also keeps a second handle in this process out.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let file = path.join(LOCK_FILE);
        let lock = make_lock(&file).map_err(failed(&file))?;
        Self::take(path, lock)
    }

    /// Locks the folder of a store as it lies; refuses one where there is none. Only a lock file that is missing is made.
    pub(crate) fn lock_to_read(path: &Path) -> Result<Self, OpenError> {
        let file = path.join(LOCK_FILE);
        let lock = match File::open(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if ![JOURNAL, TABLES].iter().any(|half| path.join(half).is_dir()) {
                    return Err(OpenError::NoStore { folder: path.to_path_buf() });
                }
                make_lock(&file)
            }
            opened => opened,
        };
        Self::take(path, lock.map_err(failed(&file))?)
    }

    fn take(path: &Path, lock: File) -> Result<Self, OpenError> {
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(failed(&path.join(LOCK_FILE))(source)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    pub(crate) fn tables(&self) -> PathBuf {
        self.path.join(TABLES)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file would not do while a child process that is just being started still has a copy of it. If this fails,
        // closing it is what is left.
        let _ = self.lock.unlock();
    }
}

fn make_lock(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Folder { path, source }
}
