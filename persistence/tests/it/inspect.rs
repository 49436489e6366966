//! Looking at a store as it lies: everything is seen, and nothing is changed.

use std::ops::ControlFlow;

use bytes::Bytes;
use everpost_persistence::{Environment, Inspection, Key, KeyBytes, OpenError, Partition, ReadError, ShardId, Store};

use crate::declared;
use crate::golden::{Golden, all_records, copy, stores};
use crate::support::{TestStore, config, edit, files, flip_bit, folder};

fn inspected(inspection: &Inspection) -> Vec<(Key, Bytes)> {
    let mut records = Vec::new();
    for table in declared::SCHEMA.tables() {
        let visit = |key: &Key, value: &[u8]| {
            records.push((*key, Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        };
        inspection.scan(table, visit).unwrap();
    }
    records
}

#[test]
fn a_store_of_any_format_with_a_tail_is_read_whole_and_not_a_byte_is_changed() {
    for Golden { version, durable, records: expected } in stores() {
        let folder = folder();
        copy(version, folder.path());
        let mut before = files(folder.path());
        // A copy has no lock file; one is made, and LMDB's own are not.
        before.insert(folder.path().join("lock"), Vec::new());
        for _ in 0..2 {
            let inspection = Store::inspect(folder.path(), declared::SCHEMA).unwrap();
            assert_eq!((inspection.format(), inspection.durable()), (version, durable));
            assert_eq!(inspection.partitions().get(), 64);
            assert_ne!(inspection.id(), ShardId(0));
            assert_eq!(inspected(&inspection), expected, "{version}");
            for (key, value) in &expected {
                assert_eq!(inspection.get(key).unwrap().as_ref(), Some(value), "{version}: {key:?}");
            }
            assert_eq!(inspection.get(&declared::timer(Partition(0), 0)).unwrap(), None);
            drop(inspection);
            assert!(files(folder.path()) == before, "{version}");
        }
        // As if nobody had looked: the epoch is the next one, and the tail is still to be replayed.
        let (store, opened) = TestStore::open(folder.path(), config());
        assert_eq!((store.store.epoch().counter, opened.clean, opened.replayed_groups), (3, false, 2));
        assert_eq!(all_records(&store), expected);
    }
}

#[test]
fn a_store_in_use_is_refused_and_nobody_opens_one_that_is_looked_at() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let position = store.enqueue(1, vec![7; 100_000]);
    store.settle();
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    drop(store);

    let before = files(folder.path());
    let inspection = Store::inspect(folder.path(), declared::SCHEMA).unwrap();
    let refused = TestStore::try_open(folder.path(), config());
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    let key = declared::inbox(Partition(1), position);
    assert_eq!(inspected(&inspection), [(key, vec![7; 100_000].into())]);
    drop(inspection);
    assert!(files(folder.path()) == before, "after a crash too");
    assert_eq!(TestStore::open(folder.path(), config()).0.records(declared::INBOX).len(), 1);
}

#[test]
fn a_store_that_would_have_to_be_made_or_completed_is_not() {
    let folder = folder();
    let nowhere = folder.path().join("nowhere");
    let refused = Store::inspect(&nowhere, declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::NoStore { .. })), "{refused:?}");
    assert!(!nowhere.exists());
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::NoStore { .. })), "{refused:?}");
    assert!(files(folder.path()).is_empty());

    // A crash while a store was made: before anything was written, and after its journal was.
    for half in ["journal", "tables"] {
        std::fs::create_dir(folder.path().join(half)).unwrap();
        std::fs::write(folder.path().join(half).join("data.mdb"), []).unwrap();
    }
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::NoStore { .. })), "{refused:?}");
    TestStore::open(folder.path(), config()).0.store.close().unwrap();
    edit(&folder.path().join("journal"), None, |records, txn| {
        assert!(records.delete(txn, b"\0epoch").unwrap() && records.delete(txn, b"\0clean").unwrap());
    });
    let tables = folder.path().join("tables");
    let aside = folder.path().join("aside");
    std::fs::rename(&tables, &aside).unwrap();
    let before = files(folder.path());
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::Unfinished { .. })), "{refused:?}");
    assert!(files(folder.path()) == before);
    // With both halves there is nothing left to complete but the first run.
    std::fs::rename(&aside, &tables).unwrap();
    assert_eq!(inspected(&Store::inspect(folder.path(), declared::SCHEMA).unwrap()), []);
}

#[test]
fn what_would_not_open_is_refused_by_the_same_name() {
    for (half, environment) in [("journal", Environment::Journal), ("tables", Environment::Tables)] {
        let folder = folder();
        TestStore::open(folder.path(), config()).0.store.close().unwrap();
        std::fs::remove_dir_all(folder.path().join(half)).unwrap();
        let refused = Store::inspect(folder.path(), declared::SCHEMA);
        assert!(
            matches!(refused, Err(OpenError::Missing { environment: missing }) if missing == environment),
            "{refused:?}"
        );
        assert!(!folder.path().join(half).exists());
    }
    let folder = folder();
    copy(1, folder.path());
    edit(&folder.path().join("journal"), None, |records, txn| {
        records.put(txn, b"\0format", &9_u32.to_be_bytes()).unwrap();
    });
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::FormatVersion { found: 9, .. })), "{refused:?}");
}

#[test]
fn damage_is_named_in_the_journal_at_once_and_in_the_tables_when_it_is_read() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let position = store.enqueue(3, vec![1; 10_000]);
    store.store.close().unwrap();
    drop(store);
    let (store, _) = TestStore::open(folder.path(), config());
    store.enqueue_alone(vec![2; 100]);
    drop(store);
    let key = [&3_u16.to_be_bytes()[..], &position.0.to_be_bytes()].concat();
    let chunk = [&[1][..], &key, &2_u32.to_be_bytes()].concat();
    flip_bit(&folder.path().join("tables"), Some("chunks"), &chunk);
    let inspection = Store::inspect(folder.path(), declared::SCHEMA).unwrap();
    let read = inspection.get(&declared::inbox(Partition(3), position));
    let Err(ReadError::Damaged { table: "inbox", key: KeyBytes(named), .. }) = read else { panic!("{read:?}") };
    assert_eq!(*named, *key);
    let mut visited = 0;
    let scanned = inspection.scan(&declared::INBOX, |_, _| {
        visited += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(scanned, Err(ReadError::Damaged { .. })) && visited == 1, "what is before it is seen");
    drop(inspection);

    let group = [&[1][..], &2_u64.to_be_bytes(), &0_u32.to_be_bytes()].concat();
    flip_bit(&folder.path().join("journal"), None, &group);
    let refused = Store::inspect(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::Damaged { table: "journal", .. })), "{refused:?}");
}
