//! Whether the files of an open store are still those at their paths. A folder that is removed, moved or replaced
//! leaves the store with files that nobody can find any more, and its path to whoever comes next; every write to them
//! succeeds all the same.
//!
//! A look costs a system call of about a microsecond for each file. The journal is looked at before each
//! acknowledgement, all of them once a second.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::error::CommitError;

/// The files of one open store.
#[derive(Debug)]
pub(crate) struct Witness {
    /// The two files with the data, open once more, so that they outlive the store if nothing else leads to them any
    /// more.
    data: Mutex<Option<[File; 2]>>,
    journal: Watched,
    others: Mutex<Vec<Watched>>,
}

/// A file that was opened, and where it was then.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The same, as the system takes it.
    name: CString,
    file: FileId,
}

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl Witness {
    /// `journal` is the open file at `path`, which takes what is acknowledged; `tables` has the rest.
    pub(crate) fn new(path: PathBuf, journal: &File, tables: &File) -> std::io::Result<Self> {
        let data = Mutex::new(Some([journal.try_clone()?, tables.try_clone()?]));
        Ok(Self { data, journal: Watched::opened(path, journal)?, others: Mutex::default() })
    }

    /// Keeps the files with the data open until the process ends: they may be all that is left of what was
    /// acknowledged.
    pub(crate) fn keep_open(&self) {
        std::mem::forget(self.data.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Watches an open file, too.
    pub(crate) fn watch_opened(&self, path: PathBuf, file: &File) -> std::io::Result<()> {
        self.lock().push(Watched::opened(path, file)?);
        Ok(())
    }

    /// Watches whatever is at `path` now.
    pub(crate) fn watch(&self, path: PathBuf) -> std::io::Result<()> {
        let name = name_of(&path)?;
        let file = FileId::of(&rustix::fs::stat(&name)?);
        self.lock().push(Watched { path, name, file });
        Ok(())
    }

    /// Looks at the journal, before something is acknowledged.
    pub(crate) fn look_at_journal(&self) -> Result<(), CommitError> {
        self.journal.look()
    }

    /// Looks at all files.
    pub(crate) fn look(&self) -> Result<(), CommitError> {
        self.journal.look()?;
        self.lock().iter().try_for_each(Watched::look)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `path` leads to the open file `file`.
pub(crate) fn leads_to(path: &Path, file: &File) -> std::io::Result<bool> {
    let opened = FileId::of(&rustix::fs::fstat(file)?);
    match rustix::fs::stat(path) {
        Ok(found) => Ok(FileId::of(&found) == opened),
        Err(error) if is_gone(error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Watched {
    fn opened(path: PathBuf, file: &File) -> std::io::Result<Self> {
        let name = name_of(&path)?;
        Ok(Self { path, name, file: FileId::of(&rustix::fs::fstat(file)?) })
    }

    fn look(&self) -> Result<(), CommitError> {
        let found = match rustix::fs::stat(&self.name) {
            Ok(found) if FileId::of(&found) == self.file => return Ok(()),
            Ok(_) => "is another file than the one that was opened",
            Err(error) if is_gone(error) => "is gone",
            // A system that does not answer, or not to this user, says nothing about the file.
            Err(_) => return Ok(()),
        };
        Err(CommitError::Displaced { path: self.path.as_path().into(), found })
    }
}

impl FileId {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE)
}

fn name_of(path: &Path) -> std::io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What is found wrong after `harm` was done to a folder with a journal and a lock.
    fn found(harm: impl FnOnce(&Path)) -> Result<(), String> {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        fs::create_dir(&folder).unwrap();
        for name in ["journal", "lock"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let journal = folder.join("journal");
        let file = File::open(&journal).unwrap();
        let witness = Witness::new(journal, &file, &file).unwrap();
        witness.watch(folder.join("lock")).unwrap();
        witness.look().unwrap();
        harm(&folder);
        witness.look().map_err(|error| match error {
            CommitError::Displaced { path, found } => format!("{} {found}", path.file_name().unwrap().display()),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn whatever_takes_a_file_from_its_path_is_found_out() {
        let gone = |name: &str| Err(format!("{name} is gone"));
        assert_eq!(found(|folder| fs::remove_dir_all(folder).unwrap()), gone("journal"));
        assert_eq!(found(|folder| fs::rename(folder, folder.with_extension("away")).unwrap()), gone("journal"));
        assert_eq!(found(|folder| fs::remove_file(folder.join("lock")).unwrap()), gone("lock"));
        let replaced = |folder: &Path| {
            fs::write(folder.join("new"), "journal").unwrap();
            fs::rename(folder.join("new"), folder.join("journal")).unwrap();
        };
        assert_eq!(found(replaced), Err("journal is another file than the one that was opened".to_owned()));
        let no_folder = |folder: &Path| {
            fs::remove_dir_all(folder).unwrap();
            fs::write(folder, "a file").unwrap();
        };
        assert_eq!(found(no_folder), gone("journal"));
    }

    #[test]
    fn what_is_written_or_moved_back_is_still_the_same() {
        assert_eq!(found(|folder| fs::write(folder.join("journal"), "more").unwrap()), Ok(()));
        let there_and_back = |folder: &Path| {
            let away = folder.with_extension("away");
            fs::rename(folder, &away).unwrap();
            fs::rename(away, folder).unwrap();
        };
        assert_eq!(found(there_and_back), Ok(()));
    }
}
