//! What the files of a store are called.

/// Locked by whoever has the store.
pub(super) const LOCK_FILE: &str = "lock";
/// The two halves, each a folder with an environment of LMDB.
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const TABLES: &str = "tables";
pub(crate) const HALVES: [&str; 2] = [JOURNAL, TABLES];
/// The name that LMDB gives its data file.
pub(crate) const DATA_FILE: &str = "data.mdb";
/// The same of the file with the slots of its readers.
pub(crate) const LMDB_LOCK_FILE: &str = "lock.mdb";
