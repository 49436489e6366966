//! Makes a new store: aside, whole and synced, and only then in its place. So a cut at any point leaves either no store
//! or all of it, and never half of one that does not open.
//!
//! The two halves are moved one after the other, once both are on the disk: the second of them can still be moved after
//! a cut. As long as neither is in its place nothing was ever stored, and the making begins anew.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::halves::{Found, find};
use super::random::random;
use crate::config::Config;
use crate::error::{OpenError, failed};
use crate::files::{DATA_FILE, Folder, HALVES, JOURNAL, LMDB_LOCK_FILE, TABLES};
use crate::ids::{Group, ShardId};
use crate::log::Journal;
use crate::meta::Identity;
use crate::slots::Promise;
use crate::table::Schema;
use crate::tables::Tables;

/// Where the halves are made, in the folder of the store.
const MAKING: &str = "making";
/// More than either half has when it was made.
const MADE_BYTES_MAX: u64 = 1 << 20;

/// Sees to it that there is a store, completing or making it; whether that happened.
pub(crate) fn make_unless_there(folder: &Folder, config: &Config, schema: Schema) -> Result<bool, OpenError> {
    let aside = folder.path().join(MAKING);
    let is_completed = complete(folder, &aside).map_err(failed(&aside))?;
    let is_there = is_in_use(folder) || matches!(look(folder, schema)?, Found::Store(_));
    if !is_there {
        is_new(folder)?;
        make(folder, &aside, config, schema)?;
    }
    Ok(is_completed || !is_there)
}

/// Refuses to read a store whose making was cut off, or one that is gone.
pub(crate) fn refuse_unmade(folder: &Folder) -> Result<(), OpenError> {
    let aside = folder.path().join(MAKING);
    let unfinished = || OpenError::Unfinished { folder: folder.path().to_path_buf() };
    if is_halfway(folder, &aside) {
        return Err(unfinished());
    }
    if at_home(folder) == 0 {
        is_new(folder)?;
        if aside.is_dir() {
            return Err(unfinished());
        }
    }
    Ok(())
}

/// Whether both halves are there and larger than a making leaves them. Such files are not read twice.
fn is_in_use(folder: &Folder) -> bool {
    HALVES.iter().all(|half| {
        let data = fs::metadata(folder.path().join(half).join(DATA_FILE));
        data.is_ok_and(|data| data.len() > MADE_BYTES_MAX)
    })
}

/// What is in the folder, looked at without changing anything.
fn look(folder: &Folder, schema: Schema) -> Result<Found, OpenError> {
    let journal = Journal::open_to_read(&folder.journal(), schema)?;
    let tables = Tables::open_to_read(&folder.tables(), schema)?;
    let found = find(journal.as_ref(), tables.as_ref());
    journal.into_iter().for_each(Journal::close);
    tables.into_iter().for_each(Tables::close);
    found
}

/// Refuses to make a store where one was that is gone with what it had acknowledged.
pub(crate) fn is_new(folder: &Folder) -> Result<(), OpenError> {
    match Promise::read(folder.path())? {
        Some((_, acknowledged)) if acknowledged > Group(0) => {
            Err(OpenError::Shorter { journal_last: Group(0), acknowledged })
        }
        _ => Ok(()),
    }
}

/// Goes on where a cut has left one half to be moved; whether that was so.
fn complete(folder: &Folder, aside: &Path) -> io::Result<bool> {
    let is_halfway = is_halfway(folder, aside);
    if is_halfway {
        move_in(folder, aside)?;
    } else if at_home(folder) == HALVES.len() {
        // The cut came before this. If there is something else in it, that is none of ours.
        let _ = fs::remove_dir(aside);
    }
    Ok(is_halfway)
}

/// Whether one half is in its place, and the other still aside.
fn is_halfway(folder: &Folder, aside: &Path) -> bool {
    let is_somewhere = |half: &str| folder.path().join(half).is_dir() || aside.join(half).is_dir();
    at_home(folder) == 1 && HALVES.into_iter().all(is_somewhere)
}

/// How many halves are in their place.
fn at_home(folder: &Folder) -> usize {
    HALVES.iter().filter(|half| folder.path().join(half).is_dir()).count()
}

fn make(folder: &Folder, aside: &Path, config: &Config, schema: Schema) -> Result<(), OpenError> {
    let identity = Identity { store: ShardId(u128::from_be_bytes(random()?)), partitions: config.partitions.get() };
    clear(folder, aside).map_err(failed(aside))?;
    fs::create_dir(aside).map_err(failed(aside))?;
    Journal::make(&aside.join(JOURNAL), config.journal_map_bytes, schema, identity)?;
    Tables::make(&aside.join(TABLES), config.tables_map_bytes, schema, identity)?;
    sync_all(aside).and_then(|()| move_in(folder, aside)).map_err(failed(aside))
}

/// Takes away what a making that was cut off has left. Older builds made the halves in their place: what is there of
/// them is not deleted, since it may have been put there by somebody else.
fn clear(folder: &Folder, aside: &Path) -> io::Result<()> {
    for half in HALVES {
        let made = aside.join(half);
        for file in [DATA_FILE, LMDB_LOCK_FILE] {
            if_there(fs::remove_file(made.join(file)))?;
        }
        if_there(fs::remove_dir(made))?;
    }
    if_there(fs::remove_dir(aside))?;
    for half in HALVES {
        let mut torn = (1..).map(|number: u32| folder.path().join(format!("{half}.torn-{number}")));
        let free = torn.find(|name| !name.exists()).expect("some number is not taken");
        if_there(fs::rename(folder.path().join(half), free))?;
    }
    Ok(())
}

/// What is not there need not be moved or removed.
fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Moves what is still aside into its place.
fn move_in(folder: &Folder, aside: &Path) -> io::Result<()> {
    for half in HALVES {
        if_there(fs::rename(aside.join(half), folder.path().join(half)))?;
    }
    sync(folder.path())?;
    // If there is something else in it, that is none of ours.
    let _ = fs::remove_dir(aside);
    Ok(())
}

/// Syncs everything in a folder, and the folder.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() { sync_all(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

/// Syncs a file, or the names in a folder.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
