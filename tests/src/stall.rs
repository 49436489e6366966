//! A disk that does not answer, for processes of their own: a small library that is loaded into them holds up every
//! sync.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::preload;

/// Names the file that is not empty while nothing is synced.
const VARIABLE: &str = "EVERPOST_TEST_STALL";

/// The disk of one process.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A disk that answers.
    ///
    /// # Panics
    ///
    /// When the library cannot be compiled: it needs a C compiler, as the store does.
    #[must_use]
    pub fn new() -> Self {
        let disk = Self { folder: crate::folder() };
        preload::compile(disk.folder.path(), include_str!("stall.c"));
        std::fs::write(disk.folder.path().join("stalled"), "").expect("the folder can be written");
        disk
    }

    /// What a process needs to have this disk.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [preload::environment(self.folder.path()), (VARIABLE, self.folder.path().join("stalled"))]
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

/// In a process with such a disk: no sync ends from now on, or all do.
///
/// # Panics
///
/// When the process has no such disk.
pub fn set(is_stalled: bool) {
    let file = std::env::var_os(VARIABLE).expect("the process was started with such a disk");
    std::fs::write(Path::new(&file), if is_stalled { "stalled" } else { "" }).expect("the folder can be written");
}
