//! The folder of a store: what is where in it, and the lock that keeps everybody else out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::names::{DATA_FILE, HALVES, JOURNAL, LMDB_LOCK_FILE, LOCK_FILE, TABLES};
use super::witness::{Witness, leads_to};
use crate::error::{OpenError, failed};

/// The folder, locked as long as this lives. The lock ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and locks it. The lock also keeps a second handle in this process out.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        make_folder(path).map_err(failed(path))?;
        let file = path.join(LOCK_FILE);
        let lock = make_lock(&file).map_err(failed(&file))?;
        Self::take(path, lock)
    }

    /// Locks the folder of a store as it lies; refuses one where there is none. Only a lock file that is missing is
    /// made.
    pub(crate) fn lock_to_read(path: &Path) -> Result<Self, OpenError> {
        let file = path.join(LOCK_FILE);
        let lock = match File::open(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !HALVES.iter().any(|half| path.join(half).is_dir()) {
                    return Err(OpenError::NoStore { folder: path.to_path_buf() });
                }
                make_lock(&file)
            }
            opened => opened,
        };
        Self::take(path, lock.map_err(failed(&file))?)
    }

    fn take(path: &Path, lock: File) -> Result<Self, OpenError> {
        let at = path.join(LOCK_FILE);
        match lock.try_lock() {
            // Between opening and locking it somebody may have put another in its place, and have locked that.
            Ok(()) if !leads_to(&at, &lock).map_err(failed(&at))? => Err(OpenError::Displaced { path: at }),
            Ok(()) => {
                // Where it is now, whatever the working directory will be when it is looked for.
                let path = std::path::absolute(path).map_err(failed(path))?;
                Ok(Self { path, lock })
            }
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(failed(&path.join(LOCK_FILE))(source)),
        }
    }

    /// Begins to watch the files of the store, which are open: the data files of its two halves, the lock, and LMDB's
    /// own.
    pub(crate) fn watch(&self, journal: &File, tables: &File) -> Result<Witness, OpenError> {
        let watch = || -> io::Result<Witness> {
            let witness = Witness::new(self.journal().join(DATA_FILE), journal, tables)?;
            witness.watch_opened(self.tables().join(DATA_FILE), tables)?;
            for half in [self.journal(), self.tables()] {
                witness.watch(half.join(LMDB_LOCK_FILE))?;
            }
            // Last: as long as this is the file that was locked, the others are those of this store.
            witness.watch_opened(self.path.join(LOCK_FILE), &self.lock)?;
            Ok(witness)
        };
        watch().map_err(failed(&self.path))
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
        // Closing the file would not do while a child process that is just being started still has a copy of it. If
        // this fails, closing it is what is left.
        let _ = self.lock.unlock();
    }
}

/// Makes the folder and those above it, where they are missing, in a way that a power cut does not undo.
fn make_folder(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let made = path.ancestors().take_while(|folder| !folder.exists()).count();
    std::fs::create_dir_all(&path)?;
    path.ancestors().skip(1).take(made).try_for_each(|folder| File::open(folder)?.sync_all())
}

fn make_lock(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)
}
