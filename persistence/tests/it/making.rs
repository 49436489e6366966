//! A store that is being made: wherever that is cut off, the next opening finds nothing or everything. And one that is
//! in use is not made anew in parts.

use std::fs;
use std::path::Path;

use everpost_persistence::{OpenError, Position, ShardId, Store, Table};

use crate::declared;
use crate::support::{TestStore, config, edit, files, folder};

const HALVES: [&str; 2] = ["journal", "tables"];

/// A folder in which a store is being made: both halves are whole, and still aside. With the id of the store.
fn being_made() -> (tempfile::TempDir, ShardId) {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let id = store.store.id();
    store.store.close().unwrap();
    never_run(folder.path());
    fs::create_dir(folder.path().join("making")).unwrap();
    HALVES.iter().for_each(|half| move_half(folder.path(), half, "", "making"));
    (folder, id)
}

/// Makes the store one that was made and has never run.
fn never_run(folder: &Path) {
    edit(&folder.join("journal"), None, |records, txn| {
        assert!(records.delete(txn, b"\0epoch").unwrap() && records.delete(txn, b"\0clean").unwrap());
    });
}

fn move_half(folder: &Path, half: &str, from: &str, to: &str) {
    fs::rename(folder.join(from).join(half), folder.join(to).join(half)).unwrap();
}

/// Opens it, and sees that it is empty and works; its id.
fn works(folder: &Path, created: bool) -> ShardId {
    let (store, opened) = TestStore::open(folder, config());
    assert!(opened.created == created && opened.clean, "{opened:?}");
    assert_eq!((opened.durable, store.records(declared::INBOX)), (Position(0), Vec::new()));
    assert_eq!(store.enqueue(0, "works"), Position(1));
    store.settle();
    assert!(!folder.join("making").exists());
    let id = store.store.id();
    store.store.close().unwrap();
    drop(store);
    assert_eq!(TestStore::open(folder, config()).0.records(declared::INBOX).len(), 1);
    id
}

fn is_unfinished(folder: &Path) {
    let before = files(folder);
    let refused = Store::inspect(folder, declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::Unfinished { .. })), "{refused:?}");
    assert!(files(folder) == before, "looking changes nothing");
}

#[test]
fn a_store_that_was_not_whole_when_its_making_was_cut_off_is_made_anew() {
    // What a power cut leaves of files that were not synced: nothing of them, an empty file, one of zeros, a part.
    let harms: [fn(&Path); 4] = [
        |half| fs::remove_dir_all(half).unwrap(),
        |half| fs::write(half.join("data.mdb"), []).unwrap(),
        |half| fs::write(half.join("data.mdb"), [0; 32768]).unwrap(),
        |half| fs::File::options().write(true).open(half.join("data.mdb")).unwrap().set_len(5000).unwrap(),
    ];
    for half in HALVES {
        for harm in harms {
            let (folder, id) = being_made();
            harm(&folder.path().join("making").join(half));
            is_unfinished(folder.path());
            assert_ne!(works(folder.path(), true), id);
        }
    }
    // Whole, as it happens: that nobody can know.
    let (folder, id) = being_made();
    is_unfinished(folder.path());
    assert_ne!(works(folder.path(), true), id);
}

#[test]
fn a_store_of_which_one_half_is_in_its_place_is_completed() {
    for half in HALVES {
        let (folder, id) = being_made();
        move_half(folder.path(), half, "making", "");
        is_unfinished(folder.path());
        assert_eq!(works(folder.path(), true), id);
    }
    let (folder, id) = being_made();
    HALVES.iter().for_each(|half| move_half(folder.path(), half, "making", ""));
    Store::inspect(folder.path(), declared::SCHEMA).unwrap();
    assert_eq!(works(folder.path(), false), id);
}

/// It was deleted with everything in it.
#[test]
fn what_somebody_else_has_put_there_is_left_alone() {
    let (folder, _) = being_made();
    let (making, other) = (folder.path().join("making"), folder.path().join("making/notes"));
    fs::write(&other, "mine").unwrap();
    let refused = TestStore::try_open(folder.path(), config()).unwrap_err();
    assert!(matches!(&refused, OpenError::Folder { path, .. } if *path == making), "{refused}");
    assert_eq!(fs::read(other).unwrap(), b"mine");
}

/// A new, empty store was made in the place of one whose files had been emptied.
#[test]
fn no_store_is_made_where_one_was_that_had_acknowledged_something() {
    let harms: [fn(&Path); 2] =
        [|half| fs::remove_dir_all(half).unwrap(), |half| fs::write(half.join("data.mdb"), []).unwrap()];
    for harm in harms {
        let folder = folder();
        let (store, _) = TestStore::open(folder.path(), config());
        store.enqueue(0, "acknowledged");
        store.store.close().unwrap();
        drop(store);
        HALVES.iter().for_each(|half| harm(&folder.path().join(half)));
        for refused in [
            TestStore::try_open(folder.path(), config()).map(|_| ()),
            Store::inspect(folder.path(), declared::SCHEMA).map(|_| ()),
        ] {
            assert!(matches!(refused, Err(OpenError::Shorter { .. })), "{refused:?}");
        }
        fs::remove_file(folder.path().join("slots")).unwrap();
        works(folder.path(), true);
    }
}

/// Older builds made the journal in its place, and then the tables.
#[test]
fn a_torn_creation_of_an_older_build_is_made_again() {
    let harms: [fn(&Path); 3] = [
        |tables| fs::remove_dir_all(tables).unwrap(),
        |tables| fs::write(tables.join("data.mdb"), []).unwrap(),
        |tables| {
            edit(tables, Some("meta"), |records, txn| {
                assert!(records.delete(txn, b"format").unwrap() && records.delete(txn, b"store").unwrap());
            });
        },
    ];
    for harm in harms {
        let folder = folder();
        TestStore::open(folder.path(), config()).0.store.close().unwrap();
        never_run(folder.path());
        harm(&folder.path().join("tables"));
        is_unfinished(folder.path());
        works(folder.path(), true);
        assert!(folder.path().join("journal.torn-1").is_dir(), "nothing is deleted that a making did not make aside");
    }
}

/// The table was made anew, and everything that had been in it was gone without a word.
#[test]
fn a_table_that_was_lost_is_named() {
    let names = declared::SCHEMA.tables().iter().map(Table::name);
    for name in names.into_iter().chain(["chunks", "meta"]) {
        let folder = folder();
        let (store, _) = TestStore::open(folder.path(), config());
        store.enqueue(3, vec![7; 10_000]);
        store.store.close().unwrap();
        drop(store);
        // LMDB keeps the names of databases as keys of the unnamed one.
        let file = folder.path().join("tables").join("data.mdb");
        let mut bytes = fs::read(&file).unwrap();
        let places: Vec<usize> = (0..bytes.len() - name.len()).filter(|&at| is_entry(&bytes[at..], name)).collect();
        assert!(!places.is_empty(), "{name}");
        for at in places {
            bytes[at] ^= 1;
        }
        fs::write(&file, &bytes).unwrap();
        let before = files(folder.path());
        let is_named = |refused: &OpenError| match refused {
            OpenError::TableLost { table } => *table == name,
            OpenError::Missing { .. } => name == "meta",
            // The bit has put the name out of its order.
            OpenError::Pages { .. } => true,
            _ => false,
        };
        let refused = Store::inspect(folder.path(), declared::SCHEMA).unwrap_err();
        assert!(is_named(&refused), "{name}: {refused}");
        assert!(files(folder.path()) == before);
        let refused = TestStore::try_open(folder.path(), config()).unwrap_err();
        assert!(is_named(&refused), "{name}: {refused}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name}: nothing was changed");
    }
}

/// Whether an entry of a leaf of LMDB with this key begins here: what stands before the key says how long that is, and
/// that a database follows.
fn is_entry(bytes: &[u8], name: &str) -> bool {
    bytes.starts_with(name.as_bytes())
        && bytes.get(name.len()).is_some_and(|&next| next == 0 || !next.is_ascii_alphanumeric())
}
