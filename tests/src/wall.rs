//! A wall clock that a test sets, for nodes in processes of their own: a small library that is loaded into them moves
//! it.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::preload;

/// Names the file with the seconds that the clock is ahead.
const VARIABLE: &str = "EVERPOST_TEST_WALL";
/// As long as any number of seconds, so that writing one anew leaves nothing of the one before.
const WIDTH: usize = 24;

/// The wall clock of one process, over its restarts.
#[derive(Debug)]
pub struct Wall {
    folder: TempDir,
}

impl Wall {
    /// A clock that is right.
    ///
    /// # Panics
    ///
    /// When the library cannot be compiled: it needs a C compiler, as the store does.
    #[must_use]
    pub fn new() -> Self {
        let folder = crate::folder();
        preload::compile(folder.path(), include_str!("wall.c"));
        let wall = Self { folder };
        std::fs::write(wall.file(), " ".repeat(WIDTH)).expect("the folder can be written");
        wall
    }

    /// Puts the clock this many seconds ahead of what is right, or behind it when they are negative.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn set(&self, seconds: i64) {
        let file = std::fs::OpenOptions::new().write(true).open(self.file()).expect("it is there");
        // In one write and at one length: a process that looks meanwhile sees the one or the other.
        file.write_all_at(format!("{seconds:<WIDTH$}").as_bytes(), 0).expect("the folder can be written");
    }

    /// What a process needs to have this clock.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [preload::environment(self.folder.path()), (VARIABLE, self.file())]
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }
}

impl Default for Wall {
    fn default() -> Self {
        Self::new()
    }
}
