//! Where an upgrade check stands, in a file beside the store: a record that ends the process does so once, since the
//! next check finds it there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use everpost_persistence::Key;

use super::place_of;
use crate::node::upgrade::{Reading, Stored};

/// The name of the file in the folder of a store. No program reads it but another check.
const FILE_NAME: &str = "upgrade-check";
/// One line for each record that ended a check, the newest last; more than the longest name of a record.
const LINE_BYTES: usize = 128;

/// The file, and what the checks before have left in it.
pub(super) struct Trail {
    /// None where it cannot be written.
    file: Option<File>,
    path: PathBuf,
    ended: Vec<String>,
}

impl Trail {
    pub(super) fn open(folder: &Path) -> Self {
        let path = folder.join(FILE_NAME);
        let opened = open(&path);
        if let Err(error) = &opened {
            tracing::warn!(
                path = %path.display(), %error, event = "check not noted",
                "the check cannot note what it reads: a record that ends the process will not be named"
            );
        }
        let (file, ended) = opened.ok().unzip();
        Self { file, path, ended: ended.unwrap_or_default() }
    }

    /// Runs `read`, which may end the process, unless the record has done so in a check before.
    pub(super) fn read(
        &self,
        stored: Stored,
        key: &Key,
        read: impl FnOnce() -> Result<Reading, String>,
    ) -> Result<Reading, String> {
        let record = format!("{stored:?} {}", place_of(key));
        if self.ended.contains(&record) {
            return Err(
                "the check before this one ended while it was read: the process died of it, or was ended from \
             outside just then; it was not read again, which the next check will do"
                    .to_owned(),
            );
        }
        self.note(&record);
        let reading = read();
        self.note("");
        reading
    }

    /// Everything was read.
    pub(super) fn end(self) {
        drop(self.file);
        // Where there is none it could not be made.
        let _ = std::fs::remove_file(&self.path);
    }

    fn note(&self, record: &str) {
        let line = format!("{record:<width$}\n", width = LINE_BYTES - 1);
        let written = self.file.as_ref().map(|file| file.write_all_at(line.as_bytes(), self.offset()));
        if let Some(Err(error)) = written {
            tracing::warn!(
                path = %self.path.display(), %error, event = "check not noted",
                "the check cannot note what it reads"
            );
        }
    }

    /// Behind what the checks before have left.
    fn offset(&self) -> u64 {
        (self.ended.len() * LINE_BYTES) as u64
    }
}

/// The file, and the records in it.
fn open(path: &Path) -> io::Result<(File, Vec<String>)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let text = std::fs::read_to_string(path)?;
    let ended = text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect();
    Ok((file, ended))
}

#[cfg(test)]
mod tests {
    use everpost_persistence::{MailboxId, Partition, Position};

    use super::*;
    use crate::tables;

    const STATE: Key = tables::mailbox(Partition(1), MailboxId(u128::MAX));
    const LETTER: Key = tables::dead_letter(Position(u64::MAX));

    #[test]
    fn a_check_passes_what_those_before_it_have_ended_in_and_takes_nothing_else_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let is_read = |trail: &Trail, stored, key| trail.read(stored, key, || Ok(Reading::AsItIs)).is_ok();
        for (stored, key) in [(Stored::State, STATE), (Stored::DeadLetter, LETTER)] {
            let trail = Trail::open(folder.path());
            assert!(is_read(&trail, Stored::Waiting, &LETTER));
            // A check that ends here.
            trail.note(&format!("{stored:?} {}", place_of(&key)));
        }
        let trail = Trail::open(folder.path());
        assert!(!is_read(&trail, Stored::State, &STATE) && !is_read(&trail, Stored::DeadLetter, &LETTER));
        assert!(is_read(&trail, Stored::Waiting, &LETTER));
        // One that ends between two records.
        drop(trail);
        let trail = Trail::open(folder.path());
        assert_eq!(trail.ended.len(), 2);
        trail.end();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
