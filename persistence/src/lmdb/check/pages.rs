//! Where a check reads pages, what it shows of them, and what ends it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::Damage;
use crate::record::HEADER_BYTES;

/// Where pages are read from.
pub(super) trait Pages {
    /// Fills `bytes` with what is there from this byte on; false if that is not there.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<bool>;

    /// How many bytes there are.
    fn bytes(&self) -> io::Result<u64>;
}

/// What does not hold, and on which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) page: u64,
    pub(super) reason: &'static str,
}

/// What ends a check.
#[derive(Debug)]
pub(super) enum Stop {
    Flaw(Flaw),
    /// Whoever is shown the records has refused one.
    Record(Damage),
    Read(io::Error),
}

/// Is shown a record: the name of its database, its key, and the beginning of its value.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8], &[u8]) -> Result<(), Damage> + 'v;

/// How much of a value is shown: the header of a record.
pub(super) const VISITED_BYTES: usize = HEADER_BYTES;

impl Pages for File {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<bool> {
        match self.read_exact_at(bytes, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
