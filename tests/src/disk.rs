//! A disk that fails when a test says so, for nodes in processes of their own: a small library that is loaded into them
//! counts the calls that change something below a folder, and lets one of them fail, or cuts the power with it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::preload;

/// Names the folder whose disk it is.
const FOLDER_VARIABLE: &str = "EVERPOST_TEST_DISK";
/// Names the file with the order.
const ORDER_VARIABLE: &str = "EVERPOST_TEST_ORDER";
/// As long as a page: it is mapped.
const ORDER_BYTES: u64 = 4096;

/// Where things stand in the file, in words; as in `disk.c`.
const CALLS: u64 = 5;
const FIRED: u64 = 6;
const NAME: u64 = 7;
const NAME_BYTES: usize = 16;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is not done, and says so.
    Refused,
    /// It is done, and says that it was not.
    Reported,
    /// A write is cut short, which is no error; what comes next is refused, and so is what is no write.
    Halved,
}

/// What a call that fails says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Errno {
    /// The disk is broken.
    Io,
    /// The disk is full.
    NoSpace,
}

/// How the power goes, by what has reached the disk before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Everything that was written.
    Flushed,
    /// What was synced, and what the journal of the file system had.
    JournalFlushed,
    /// What was synced.
    Bare,
}

/// A disk. Orders hold for processes that start on it afterwards, and for those that are there.
#[derive(Debug)]
pub struct Disk {
    between: TempDir,
    order: File,
    folder: PathBuf,
}

impl Disk {
    /// The disk with this folder, which is as it should be.
    ///
    /// # Panics
    ///
    /// When the library cannot be compiled.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let between = crate::folder();
        preload::compile(between.path(), include_str!("disk.c"));
        let order = OpenOptions::new().read(true).write(true).create_new(true).open(between.path().join("order"));
        let order = order.expect("the folder can be written");
        order.set_len(ORDER_BYTES).expect("the folder can be written");
        let disk = Self { between, order, folder: folder.into() };
        disk.mend();
        disk
    }

    /// Another folder is on it from here on, and it is as it should be.
    pub fn move_to(&mut self, folder: &Path) {
        self.folder = folder.into();
        self.mend();
    }

    /// Nothing fails from here on, and calls are counted from 1.
    pub fn mend(&self) {
        // First what says that nothing is to happen.
        self.write(&[u64::MAX, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// From call `number` on this happens: to that one alone, or to all that come after it too. For one process.
    pub fn fail(&self, number: u64, lasts: bool, fault: Fault, errno: Errno) {
        let errno = match errno {
            Errno::Io => 5,
            Errno::NoSpace => 28,
        };
        self.order(number, if lasts { u64::MAX } else { number }, 1 + fault as u64, errno, 0);
    }

    /// The power is cut at call `number`: right before it, or so many nanoseconds after it has begun. For one process.
    pub fn cut(&self, number: u64, cut: Cut, delay: u64) {
        self.order(number, u64::MAX, 4, cut as u64, delay);
    }

    fn order(&self, first: u64, last: u64, what: u64, detail: u64, delay: u64) {
        self.write_at(1, &[last, what, detail, delay]);
        // Last: it is what sets it off.
        self.write(&[first]);
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.read(CALLS)
    }

    /// The call to which it has happened, by its name; none if it has not.
    ///
    /// # Panics
    ///
    /// When the power could not be cut.
    #[must_use]
    pub fn fired(&self) -> Option<String> {
        match self.read(FIRED) {
            0 => None,
            1 => {
                let mut name = [0; NAME_BYTES];
                self.order.read_exact_at(&mut name, NAME * 8).expect("the file is long enough");
                Some(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned())
            }
            failed => panic!("the power could not be cut: error {}", failed - 1),
        }
    }

    /// What a process needs to have this disk.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            preload::environment(self.between.path()),
            (FOLDER_VARIABLE, self.folder.clone()),
            (ORDER_VARIABLE, self.between.path().join("order")),
        ]
    }

    fn write(&self, words: &[u64]) {
        self.write_at(0, words);
    }

    fn write_at(&self, place: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.order.write_all_at(&bytes, place * 8).expect("the folder can be written");
    }

    fn read(&self, place: u64) -> u64 {
        let mut word = [0; 8];
        self.order.read_exact_at(&mut word, place * 8).expect("the file is long enough");
        u64::from_be_bytes(word)
    }
}
