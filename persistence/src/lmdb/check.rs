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
mod pages;
mod progress;
mod raw;
mod tree;
mod walk;

use std::fs::File;
use std::path::Path;

use self::meta::{META_BYTES, Meta, newest};
pub(crate) use self::pages::Visit;
use self::pages::{Flaw, Pages, Stop};
use self::progress::Told;
use self::walk::walk;
use crate::error::{Environment, OpenError, failed};

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

/// How often a meta page is read again that seems to be written just then.
const ATTEMPTS: u32 = 5;

/// The same of one that somebody may write meanwhile, without a lock. What is found wrong then counts only if nothing
/// was committed: the pages of the last commit stay as they are until there is another one, and whoever commits has
/// looked at them.
pub(crate) fn check_beside(path: &Path, environment: Environment) -> Result<(), OpenError> {
    let last_commit = || -> Result<u64, Stop> { Ok(read_meta(&File::open(path).map_err(Stop::Read)?)?.transaction) };
    let mut checked = Ok(());
    for _ in 0..ATTEMPTS {
        let before = last_commit();
        checked = check(path, environment, &mut |_, _, _| Ok(()));
        if !matches!(checked, Err(OpenError::Pages { .. })) {
            return checked;
        }
        if let (Ok(before), Ok(after)) = (before, last_commit()) {
            return if before == after { checked } else { Ok(()) };
        }
    }
    checked
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

#[cfg(test)]
mod tests;
