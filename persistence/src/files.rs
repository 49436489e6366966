//! The files of a store: which there are, who has them, and whether they are still there.

mod folder;
mod in_place;
mod names;
mod reserve;
mod witness;

pub(crate) use self::folder::Folder;
pub(crate) use self::in_place::overwrite_in_place;
pub(crate) use self::names::{DATA_FILE, HALVES, JOURNAL, LMDB_LOCK_FILE, TABLES};
pub(crate) use self::reserve::{Reserve, allocate};
pub(crate) use self::witness::Witness;
