//! A store of an older format becomes one of the newest where it lies, wherever a crash cuts that off.

use std::path::Path;

use everpost_persistence::{Config, Key, MailboxId, OpenError, Partition, ShardId, Table};

use crate::declared;
use crate::golden::{all_records, copy, records_v1, records_v4};
use crate::support::{TestStore, config, edit, flip_bit, folder};

/// Where each half keeps its format.
const HALVES: [(&str, Option<&str>, &[u8]); 2] = [("journal", None, b"\0format"), ("tables", Some("meta"), b"format")];

fn formats(folder: &Path) -> [u32; 2] {
    HALVES.map(|(half, database, key)| {
        let mut format = 0;
        edit(&folder.join(half), database, |records, txn| {
            format = u32::from_be_bytes(records.get(txn, key).unwrap().unwrap().try_into().unwrap());
        });
        format
    })
}

fn set_formats(folder: &Path, formats: [u32; 2]) {
    for ((half, database, key), format) in HALVES.into_iter().zip(formats) {
        edit(&folder.join(half), database, |records, txn| records.put(txn, key, &format.to_be_bytes()).unwrap());
    }
}

/// Puts a record into each table that newer formats have brought. Returns what was put.
fn submit_one_of_each(store: &TestStore) -> impl Iterator<Item = (Key, bytes::Bytes)> {
    let partition = Partition(5);
    let value = || bytes::Bytes::from_static(b"new");
    let keys = [
        declared::received(partition, ShardId(7), 1),
        declared::acknowledged(partition, ShardId(7), 1),
        declared::peer(ShardId(7)),
        declared::timer(partition, 7),
        declared::request(partition, MailboxId(7), 7),
        declared::supervision(partition, MailboxId(7)),
        declared::note(7),
    ];
    let (_, position) = store.submit(|stage| {
        let position = stage.enqueue(&declared::OUTBOX, partition, value());
        keys.iter().for_each(|key| stage.put(*key, value()));
        position
    });
    [declared::outbox(partition, position)].into_iter().chain(keys).map(move |key| (key, value()))
}

#[test]
fn an_upgrade_is_completed_wherever_it_stopped() {
    // Databases are made, then the journal is raised, then the tables; pairs the other way round can only come from a
    // copy.
    let stops = [
        ([1, 1], false),
        ([1, 1], true),
        ([2, 1], true),
        ([1, 2], true),
        ([3, 1], true),
        ([2, 3], true),
        ([3, 4], true),
        ([4, 3], true),
        ([4, 4], true),
        ([5, 4], true),
    ];
    for (found, made) in stops {
        let folder = folder();
        copy(1, folder.path());
        set_formats(folder.path(), found);
        // Tables are of the newest format only once they have all of its databases.
        let all = found[1] == 4;
        let names = declared::SCHEMA.tables().iter().map(Table::name).chain(["chunks"]);
        for name in names.filter(|&name| all || (made && name == "outbox")) {
            edit(&folder.path().join("tables"), Some(name), |_, _| ());
        }
        let (store, _) = TestStore::open(folder.path(), config());
        assert_eq!(all_records(&store), records_v1(), "{found:?}");
        let expected: Vec<_> = records_v1().into_iter().chain(submit_one_of_each(&store)).collect();
        store.store.close().unwrap();
        drop(store);
        assert_eq!(formats(folder.path()), [6, 6], "{found:?}");
        let (store, opened) = TestStore::open(folder.path(), config());
        assert!(opened.clean && opened.replayed_groups == 0, "{found:?}");
        assert_eq!(all_records(&store), expected, "{found:?}");
    }
}

#[test]
fn a_store_whose_journal_alone_is_of_the_newest_format_is_completed() {
    let folder = folder();
    copy(5, folder.path());
    set_formats(folder.path(), [6, 5]);
    let (store, _) = TestStore::open(folder.path(), config());
    assert_eq!(all_records(&store), records_v4());
    store.store.close().unwrap();
    assert_eq!(formats(folder.path()), [6, 6]);
}

#[test]
fn a_store_that_is_refused_keeps_its_format() {
    let folder = folder();
    copy(1, folder.path());
    let other = Config { partitions: 65.try_into().unwrap(), ..config() };
    let refused = TestStore::try_open(folder.path(), other);
    assert!(matches!(refused, Err(OpenError::PartitionCount { .. })), "{refused:?}");
    assert_eq!(formats(folder.path()), [1, 1], "the older program still opens it");

    // The last group: its chunk is found damaged after everything else was read.
    let key = [&[1][..], &4_u64.to_be_bytes(), &0_u32.to_be_bytes()].concat();
    flip_bit(&folder.path().join("journal"), None, &key);
    let refused = TestStore::try_open(folder.path(), config());
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    assert_eq!(formats(folder.path()), [1, 1]);
}

#[test]
fn nothing_is_made_in_tables_of_an_unknown_format() {
    let folder = folder();
    copy(1, folder.path());
    set_formats(folder.path(), [1, 7]);
    let refused = TestStore::try_open(folder.path(), config());
    assert!(matches!(refused, Err(OpenError::FormatVersion { found: 7, .. })), "{refused:?}");
    // LMDB keeps the names of databases as keys of the unnamed one.
    edit(&folder.path().join("tables"), None, |names, txn| {
        assert!(names.get(txn, b"inbox").unwrap().is_some());
        assert!(names.get(txn, b"outbox").unwrap().is_none());
    });
}
