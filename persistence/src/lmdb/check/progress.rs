//! Says how far the look through a large file is, so that a start that takes long is not taken for one that hangs.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::pages::Pages;
use crate::error::Environment;

/// How often. A start that is shorter says nothing.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Pages that are read from a file, and counted.
pub(super) struct Told<'a> {
    file: &'a File,
    environment: Environment,
    read: Cell<u64>,
    told: Cell<Instant>,
}

impl<'a> Told<'a> {
    pub(super) fn new(file: &'a File, environment: Environment) -> Self {
        Self { file, environment, read: Cell::new(0), told: Cell::new(now()) }
    }

    fn tell(&self) {
        let (now, read) = (now(), self.read.get());
        if now.duration_since(self.told.get()) < TELL_EVERY {
            return;
        }
        self.told.set(now);
        if let Some(percent) = self.bytes().ok().and_then(|bytes| percent(read, bytes)) {
            let environment = self.environment;
            tracing::info!(%environment, percent, read_bytes = read, "the store is looked through before it is opened");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "when to tell of a wait decides nothing")]
fn now() -> Instant {
    Instant::now()
}

/// How much of a file was read. Some of it is never read, and a little of it twice.
fn percent(read: u64, bytes: u64) -> Option<u64> {
    Some((u128::from(read) * 100).checked_div(u128::from(bytes))?.min(100) as u64)
}

impl Pages for Told<'_> {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let before = self.read.get();
        self.read.set(before + bytes.len() as u64);
        // The clock is not looked at for each page.
        if (before ^ self.read.get()) >> 20 != 0 {
            self.tell();
        }
        self.file.read(at, bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_told_as_a_part_of_the_file() {
        assert_eq!(percent(0, 100), Some(0));
        assert_eq!(percent(u64::MAX / 2, u64::MAX), Some(49));
        assert_eq!(percent(150, 100), Some(100), "the list of free pages may be read twice");
        assert_eq!(percent(1, 0), None);
    }
}
