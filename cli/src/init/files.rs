//! Writes several files, all or none.
//!
//! Each is written to a temporary file beside its place first and then given its name, so that no half file is ever
//! seen.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::problem::Problem;

/// Who may read a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Everyone,
    /// Nobody but the owner: a private key.
    Owner,
}

/// Files to be written into one folder.
pub(super) struct Files<'a> {
    folder: &'a Path,
    overwrite: bool,
    files: Vec<(PathBuf, Access, String)>,
}

impl<'a> Files<'a> {
    pub(super) fn new(folder: &'a Path, overwrite: bool) -> Self {
        Self { folder, overwrite, files: Vec::new() }
    }

    /// Says what would be overwritten, before keys are made for nothing.
    pub(super) fn refuse_existing(&self, names: Vec<String>) -> Result<(), Problem> {
        if self.overwrite {
            return Ok(());
        }
        // A link that leads nowhere exists too.
        let existing: Vec<_> =
            names.into_iter().filter(|name| self.folder.join(name).symlink_metadata().is_ok()).collect();
        if existing.is_empty() {
            return Ok(());
        }
        Err(Problem::new(format!(
            "{} has {} already, and nothing was written; choose another --dir, or renew everything with --force, which \
             makes a new authority, so that nodes with certificates of the old one are refused",
            self.folder.display(),
            existing.join(", ")
        )))
    }

    pub(super) fn add(&mut self, name: &str, access: Access, text: String) {
        self.files.push((self.folder.join(name), access, text));
    }

    /// Makes the folder and writes the files.
    pub(super) fn write(self) -> Result<(), Problem> {
        let failed = |path: &Path, error: &io::Error| {
            Problem::new(format!("{} cannot be written: {error}; nothing was changed", path.display()))
        };
        fs::create_dir_all(self.folder).map_err(|error| failed(self.folder, &error))?;
        let mut ready = Vec::new();
        for (path, access, text) in self.files {
            let file = temporary(self.folder, access, &text).map_err(|error| failed(&path, &error))?;
            ready.push((path, file));
        }
        let mut written: Vec<PathBuf> = Vec::new();
        for (path, file) in ready {
            let persisted = if self.overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
            if let Err(error) = persisted {
                if self.overwrite {
                    let message = "some files are new and some are old; try again";
                    return Err(Problem::new(format!(
                        "{} cannot be written: {}; {message}",
                        path.display(),
                        error.error
                    )));
                }
                // Somebody else made a file since it was looked for. Those before it are ours.
                for ours in &written {
                    fs::remove_file(ours).map_err(|error| failed(ours, &error))?;
                }
                return Err(failed(&path, &error.error));
            }
            written.push(path);
        }
        Ok(())
    }
}

fn temporary(folder: &Path, access: Access, text: &str) -> io::Result<NamedTempFile> {
    let mode = match access {
        Access::Everyone => 0o644,
        Access::Owner => 0o600,
    };
    let mut file = Builder::new().prefix(".everpost-").permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_appears_meanwhile_is_kept_and_the_others_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(folder.path(), false);
        files.refuse_existing(vec!["a".to_owned(), "b".to_owned()]).unwrap();
        files.add("a", Access::Everyone, "mine".to_owned());
        files.add("b", Access::Everyone, "mine".to_owned());
        fs::write(folder.path().join("b"), "theirs").unwrap();
        let problem = files.write().unwrap_err().to_string();
        assert!(problem.contains("/b cannot be written"), "{problem}");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["b"]);
        assert_eq!(fs::read_to_string(folder.path().join("b")).unwrap(), "theirs");
    }
}
