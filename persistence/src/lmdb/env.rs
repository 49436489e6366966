//! Opens the LMDB environments: one of the two places with unsafe code. Knows LMDB's rules, not what is stored.
//!
//! Default flags only for what is written: everything else either loses acknowledged data in a power cut or corrupts.
//! Read transactions are not tied to threads, since any thread may read.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heed::types::Bytes;
use heed::{EnvFlags, EnvOpenOptions, WithoutTls};

use super::check::{Visit, check, check_beside};
use crate::error::{Environment, OpenError, failed};
use crate::files::{DATA_FILE, LMDB_LOCK_FILE, allocate, overwrite_in_place};

pub(crate) type Env = heed::Env<WithoutTls>;
/// A database of plain bytes; what they mean is decided above.
pub(crate) type RawDatabase = heed::Database<'static, Bytes, Bytes>;

/// LMDB wants whole pages; no system has larger ones than this.
const MAP_UNIT_BYTES: u64 = 64 * 1024;
/// How many reads may run at once in all processes; each slot is a cache line in the lock file.
const READERS_MAX: u32 = 1024;
/// A cache line for each of its readers, and a few for itself.
const LOCK_FILE_BYTES: u64 = (READERS_MAX as u64 + 8) * 64;

/// What an environment is opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) environment: Environment,
    pub(crate) map_bytes: u64,
    /// How many named databases it may hold.
    pub(crate) databases: u32,
}

/// Makes an environment, in a folder that it makes too. The caller holds the lock of the store.
pub(crate) fn make(folder: &Path, settings: Settings) -> Result<Env, OpenError> {
    std::fs::create_dir(folder).map_err(failed(folder))?;
    open_to_write(folder, settings)
}

/// Opens the environment in `folder`, once all of its pages were looked at; refuses to make one. The caller holds the
/// lock of the store.
pub(crate) fn open(folder: &Path, settings: Settings, visit: &mut Visit<'_>) -> Result<Env, OpenError> {
    let environment = settings.environment;
    if !has_data(folder)? {
        return Err(OpenError::Missing { environment });
    }
    check(&folder.join(DATA_FILE), environment, visit)?;
    open_to_write(folder, settings)
}

fn open_to_write(folder: &Path, settings: Settings) -> Result<Env, OpenError> {
    let Settings { environment, map_bytes, databases, .. } = settings;
    let _alone = prepare_readers(folder)?;
    let configured = map_bytes.next_multiple_of(MAP_UNIT_BYTES);
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(usize::try_from(configured).unwrap_or(usize::MAX & !0xFFFF))
        .max_readers(READERS_MAX)
        .max_dbs(databases);
    let env =
        open_mapped(&mut options, folder, EnvFlags::empty()).map_err(|error| refused(environment, folder, error))?;
    // LMDB silently enlarges a map that is too small for its data, and then has no page left to write with.
    let needed = env.info().map_size as u64;
    if needed > configured {
        return Err(OpenError::MapTooSmall { environment, configured: map_bytes, needed });
    }
    env.clear_stale_readers().map_err(|error| OpenError::storage(environment, &error))?;
    Ok(env)
}

/// Opens the environment in `folder` to be read, in a map of the size that it was written with; `None` if there is
/// none. Makes and changes nothing. The caller holds the lock of the store.
pub(crate) fn open_to_read(
    folder: &Path,
    environment: Environment,
    databases: u32,
    visit: &mut Visit<'_>,
) -> Result<Option<Env>, OpenError> {
    if !has_data(folder)? {
        return Ok(None);
    }
    check(&folder.join(DATA_FILE), environment, visit)?;
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_dbs(databases);
    // Without LMDB's locks, which are files too: the lock of the store keeps every writer out.
    let flags = EnvFlags::READ_ONLY | EnvFlags::NO_LOCK;
    open_mapped(&mut options, folder, flags).map(Some).map_err(|error| refused(environment, folder, error))
}

/// Opens the environment in `folder` to be read while somebody may have it open to write, in a map of the size that it
/// has now; `None` if there is none. Makes nothing but LMDB's file of readers, where that is missing.
pub(crate) fn open_beside(folder: &Path, environment: Environment, databases: u32) -> Result<Option<Env>, OpenError> {
    if !has_data(folder)? {
        return Ok(None);
    }
    check_beside(&folder.join(DATA_FILE), environment)?;
    let _alone = prepare_readers(folder)?;
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.max_readers(READERS_MAX).max_dbs(databases);
    let opened = open_mapped(&mut options, folder, EnvFlags::READ_ONLY);
    opened.map(Some).map_err(|error| refused(environment, folder, error))
}

/// One environment is opened at a time in this process.
static OPENING: Mutex<()> = Mutex::new(());

/// Sees to it that LMDB's file of readers has its blocks: it is written through a map, and without a block on the disk
/// that ends the process with a signal. The environment is to be opened while what is returned is held.
///
/// LMDB's locks on that file are those of the process, and end when anybody in it closes the file. Without them others
/// would take its readers for gone, and the file for one that nobody has. So it is not touched where this process has
/// the environment open.
fn prepare_readers(folder: &Path) -> Result<MutexGuard<'static, ()>, OpenError> {
    let alone = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let is_open = |path: PathBuf| heed::env_closing_event(path).is_some();
    if folder.canonicalize().is_ok_and(is_open) {
        return Err(OpenError::InUse { folder: folder.to_path_buf() });
    }
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(LMDB_LOCK_FILE));
    let allocated = lock.and_then(|lock| {
        overwrite_in_place(&lock);
        allocate(&lock, LOCK_FILE_BYTES)
    });
    allocated.map(|_| alone).map_err(failed(folder))
}

/// Whether there is an environment. LMDB would make an empty file into a new one.
fn has_data(folder: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(folder.join(DATA_FILE)) {
        Ok(file) => Ok(file.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(folder)(error)),
    }
}

fn refused(environment: Environment, folder: &Path, error: heed::Error) -> OpenError {
    match error {
        heed::Error::EnvAlreadyOpened => OpenError::InUse { folder: folder.to_path_buf() },
        heed::Error::Io(source) => OpenError::at(folder, source),
        other => OpenError::storage(environment, &other),
    }
}

#[expect(unsafe_code, reason = "opening a memory map; the first of the two places with unsafe code")]
fn open_mapped(options: &mut EnvOpenOptions<WithoutTls>, folder: &Path, flags: EnvFlags) -> heed::Result<Env> {
    // SAFETY: the map is valid as long as nobody changes the file but by LMDB's rules. The folder is documented as
    // local, and this crate opens the data file by no other means while the environment lives. Whoever writes holds the
    // exclusive lock of the store's folder, so there is one writer in all processes; its flags are none, so that LMDB's
    // own locks hold as well. Whoever reads without them holds the same lock, so there is no writer; whoever reads
    // beside a writer has LMDB's locks, by which the writer leaves alone the pages that a transaction of a reader may
    // look at.
    unsafe { options.flags(flags).open(folder) }
}
