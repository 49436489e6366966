//! Why a store did not open.

use std::io;
use std::path::{Path, PathBuf};

use super::commit::CommitError;
use super::damage::{Damage, KeyBytes};
use super::environment::Environment;
use super::limit::ProcessLimits;
use super::read::ReadError;
use crate::ids::{Group, ShardId};

/// Why a store did not open. Nothing in the folder was changed, except that a new store may have been made there.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another handle, in this process or another, has the store.
    #[error("the store in {} is in use by another process or handle: close that one first", folder.display())]
    InUse {
        /// The folder of the store.
        folder: PathBuf,
    },
    /// The folder, or a file in it, was removed, moved or replaced while the store was being opened.
    #[error(
        "{} was removed, moved or replaced while the store was being opened: what was there was not changed; see who \
         does that, and open it again",
        path.display()
    )]
    Displaced {
        /// What was opened.
        path: PathBuf,
    },
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store was written in a format that this crate does not read.
    #[error(
        "the {environment} has format version {found}, this program supports up to {supported}: nothing was changed; \
         use the program that wrote it, or a newer one"
    )]
    FormatVersion {
        /// The environment that says so.
        environment: Environment,
        /// The version that it has.
        found: u32,
        /// The version that this crate writes. It reads older ones, and brings them up to this one.
        supported: u32,
    },
    /// A record fails its check.
    #[error(
        "record {key} of table `{table}` is damaged ({reason}): nothing was changed and other records are not \
         affected; restore from a backup, or ask for help with the folder as it is"
    )]
    Damaged {
        /// The table, or `journal`, or the `meta` table of either environment.
        table: &'static str,
        /// The key of the record.
        key: KeyBytes,
        /// What does not hold.
        reason: &'static str,
    },
    /// A page of LMDB's is damaged: the records on it, and maybe others, could not be found any more.
    #[error(
        "page {page} of the {environment} is damaged ({reason}): nothing was changed; restore from a backup, or ask \
         for help with the folder as it is"
    )]
    Pages {
        /// The environment.
        environment: Environment,
        /// The number of the page in its data file.
        page: u64,
        /// What does not hold.
        reason: &'static str,
    },
    /// The records of a table are not those that were written there: one is missing, or one is there that was not, or
    /// an older one.
    #[error(
        "table `{table}` holds {found} records in partition {partition}, and {noted} were written there, or one of \
         them is another one: nothing was changed; restore from a backup, or ask for help with the folder as it is"
    )]
    Records {
        /// The table.
        table: &'static str,
        /// The partition; 0 where the table has none.
        partition: u16,
        /// How many records there are.
        found: u64,
        /// How many there should be.
        noted: u64,
    },
    /// Journal and tables belong to two stores.
    #[error(
        "the journal is of store {journal}, the tables are of store {tables}: nothing was changed; put the two \
         that belong together into one folder"
    )]
    ShardMismatch {
        /// The store of the journal.
        journal: ShardId,
        /// The store of the tables.
        tables: ShardId,
    },
    /// Groups are missing between what the tables include and what the journal holds.
    #[error(
        "the tables include everything up to group {tables_last}, the journal holds groups {journal_first} to \
         {journal_last}: {reason}; nothing was changed; one of the two was restored from another time, so restore \
         both from the same backup"
    )]
    Gap {
        /// The last group that the tables include.
        tables_last: Group,
        /// The first group that the journal holds or would hold.
        journal_first: Group,
        /// The last group that the journal holds or held.
        journal_last: Group,
        /// What does not fit.
        reason: &'static str,
    },
    /// The journal ends before a group that was acknowledged.
    #[error(
        "the journal ends with group {journal_last}, and group {acknowledged} was acknowledged: nothing was changed; \
         the store was restored from an earlier moment, or the disk has lost what it had synced: restore a newer copy; \
         to go on with this one, and give up what came after, remove the file `slots` beside it"
    )]
    Shorter {
        /// The last group that the journal holds or held.
        journal_last: Group,
        /// The last group that was acknowledged.
        acknowledged: Group,
    },
    /// One environment is empty while the other has been in use.
    #[error(
        "half of the store ({environment}) is missing or empty while the other half is in use: nothing was changed; \
         restore both from the same backup"
    )]
    Missing {
        /// The environment that is not there.
        environment: Environment,
    },
    /// The tables lack one that every store of their format has.
    #[error(
        "table `{table}` of the store is not there any more: nothing was changed; restore from a backup, or ask for \
         help with the folder as it is"
    )]
    TableLost {
        /// The name of the table, or of the database that holds what is too large for a table.
        table: &'static str,
    },
    /// The store has a table with records that was not declared.
    #[error(
        "the store has a table `{table}`, which this program does not know: nothing was changed; use the program that \
         wrote it, or a newer one"
    )]
    UnknownTable {
        /// The name of the table; its number, where only that is known.
        table: String,
    },
    /// A table was declared with other keys than those that are in it.
    #[error(
        "the keys of table `{table}` have {found} bytes in the store, and this program declares them with {declared}: \
         nothing was changed; use the program that wrote it"
    )]
    TableLayout {
        /// The name of the table.
        table: &'static str,
        /// The length of a key in the store.
        found: usize,
        /// The length of those that were declared.
        declared: usize,
    },
    /// There is no store, where one was to be read.
    #[error("there is no store in {}: nothing was made; check the path", folder.display())]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The making of the store was interrupted; only reading it says so.
    #[error(
        "the store in {} was never completely made: nothing was ever stored in it; open it, which makes it",
        folder.display()
    )]
    Unfinished {
        /// The folder of the store.
        folder: PathBuf,
    },
    /// The partition count is fixed when a store is made.
    #[error(
        "the store has {stored} partitions, the configuration says {configured}: nothing was changed; configure \
         {stored}"
    )]
    PartitionCount {
        /// The count that the store was made with.
        stored: u16,
        /// The count in the configuration.
        configured: u16,
    },
    /// The map is smaller than the data in it.
    #[error(
        "the {environment} holds {needed} bytes, its map is configured as {configured}: nothing was changed; \
         configure a larger map"
    )]
    MapTooSmall {
        /// The environment.
        environment: Environment,
        /// The configured size.
        configured: u64,
        /// What the data takes.
        needed: u64,
    },
    /// A file or folder could not be made, opened or locked.
    #[error(
        "{} could not be opened: {source}; nothing was changed; check that the path is right, local and writable",
        path.display()
    )]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something because of a limit of the process.
    #[error("{what}: {source}; {limits}; nothing was changed")]
    Limit {
        /// What it refused.
        what: String,
        /// What the system said.
        source: io::Error,
        /// Which limits that may be.
        limits: ProcessLimits,
    },
    /// LMDB, or the system below it, refused.
    #[error(
        "the {environment} could not be opened: {reason}; committed data is as it was; check the disk and its \
         free space"
    )]
    Storage {
        /// The environment.
        environment: Environment,
        /// What LMDB said.
        reason: String,
    },
    /// The commit that starts a run failed.
    #[error("the store could not record the start of this run: {0}")]
    Commit(#[from] CommitError),
    /// The system gave no thread or no random bytes.
    #[error("the system refused what a store needs: {0}; committed data is as it was; try again")]
    System(io::Error),
}

/// A configuration that cannot work.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field is below its least useful value.
    #[error("`{field}` is {value}, and must be at least {least}: nothing was opened; raise it")]
    TooSmall {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least value that works.
        least: u64,
    },
    /// A field is beyond what can be represented.
    #[error("`{field}` is {value}, and must be at most {most}: nothing was opened; lower it")]
    TooLarge {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// Its value.
        value: u64,
        /// The greatest value that works.
        most: u64,
    },
}

impl From<Damage> for OpenError {
    fn from(Damage { table, key, reason }: Damage) -> Self {
        Self::Damaged { table, key, reason }
    }
}

impl OpenError {
    /// A file or folder could not be made, opened, mapped or locked.
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        match ProcessLimits::behind(&source) {
            Some(limits) => Self::Limit { what: format!("{} could not be opened", path.display()), source, limits },
            None => Self::Folder { path: path.to_path_buf(), source },
        }
    }

    /// The system gave no thread.
    pub(crate) fn no_thread(source: io::Error) -> Self {
        match ProcessLimits::behind(&source) {
            Some(limits) => Self::Limit { what: "the store got no thread".to_owned(), source, limits },
            None => Self::System(source),
        }
    }

    /// What could not be read while the store was opened.
    pub(crate) fn unread(environment: Environment, error: ReadError) -> Self {
        match error {
            ReadError::Damaged { table, key, reason } => Self::Damaged { table, key, reason },
            other => Self::Storage { environment, reason: other.to_string() },
        }
    }

    pub(crate) fn storage(environment: Environment, error: &heed::Error) -> Self {
        Self::Storage { environment, reason: error.to_string() }
    }
}

/// Makes an error of what the system said of a file or folder.
pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::at(&path, source)
}

crate::error_text::debug_as_text!(OpenError, ConfigError);
