//! Looks through the file of an LMDB environment before LMDB maps it. LMDB trusts every number in its pages, and has no
//! checksum of them: a damaged one shows as a signal that ends the process, as another record, or as a record that is
//! not there. So each page is read here first, as bytes like any others.
//!
//! What is checked is what LMDB promises itself (`mdb.c`): every page up to the last one is in use exactly once, in one
//! tree, in one record, or in the list of free pages; keys lie in order, between those of the branches above them; what
//! a tree says of its size is so. Values have checksums of their own.
//!
//! The rules are pure: they read pages from whatever has them.

mod meta;
mod page;
mod progress;
mod walk;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use self::meta::{META_BYTES, Meta, newest};
use self::progress::Told;
use self::walk::walk;
use crate::error::{Damage, Environment, OpenError};
use crate::folder::failed;
use crate::record;

/// Where pages are read from.
trait Pages {
    /// Fills `bytes` with what is there from this byte on; false if that is not there.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<bool>;

    /// How many bytes there are.
    fn bytes(&self) -> io::Result<u64>;
}

/// What does not hold, and on which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flaw {
    page: u64,
    reason: &'static str,
}

/// What ends a check.
#[derive(Debug)]
enum Stop {
    Flaw(Flaw),
    /// Whoever is shown the records has refused one.
    Record(Damage),
    Read(io::Error),
}

/// Is shown a record: the name of its database, its key, and the beginning of its value.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8], &[u8]) -> Result<(), Damage> + 'v;

/// How much of a value is shown: the header of a record.
const VISITED_BYTES: usize = record::HEADER_BYTES;

/// Checks the file of an environment, and shows `visit` the records of its named databases. It must not be written
/// meanwhile.
pub(crate) fn check(path: &Path, environment: Environment, visit: &mut Visit<'_>) -> Result<(), OpenError> {
    let checked =
        File::open(path).map_err(Stop::Read).and_then(|file| check_pages(&Told::new(&file, environment), visit));
    checked.map_err(|stop| match stop {
        Stop::Flaw(Flaw { page, reason }) => OpenError::Pages { environment, page, reason },
        Stop::Record(damage) => damage.into(),
        Stop::Read(error) => failed(path)(error),
    })
}

fn check_pages(pages: &impl Pages, visit: &mut Visit<'_>) -> Result<(), Stop> {
    walk(pages, &read_meta(pages)?, visit)
}

fn read_meta(pages: &impl Pages) -> Result<Meta, Stop> {
    let mut bytes = [0; META_BYTES];
    let mut read = |page: u64, at: u64| match pages.read(at, &mut bytes) {
        Ok(true) => Meta::decode(&bytes, page).map_err(|reason| Stop::Flaw(Flaw { page, reason })),
        Ok(false) => Err(Stop::Flaw(Flaw { page, reason: "the file ends before it" })),
        Err(error) => Err(Stop::Read(error)),
    };
    let first = read(0, 0)?;
    let second = read(1, first.page_bytes as u64)?;
    newest(first, second).map_err(|reason| Stop::Flaw(Flaw { page: 0, reason }))
}

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

#[cfg(test)]
mod tests;
