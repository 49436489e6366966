//! A flipped bit on the disk: named, and nothing else is lost.

use std::ops::ControlFlow;

use everpost_persistence::{Key, KeyBytes, OpenError, Partition, Position, ReadError, Table};

use crate::support::{TestStore, config, flip_bit, folder};

#[test]
fn a_damaged_journal_record_refuses_to_open() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    for number in 0..5_u8 {
        store.enqueue_alone(vec![number; 100_000]);
    }
    drop(store);
    // Group 3, its second chunk.
    let key = [&[1][..], &3_u64.to_be_bytes(), &1_u32.to_be_bytes()].concat();
    flip_bit(&folder.path().join("journal"), None, &key);
    let refused = TestStore::try_open(folder.path(), config()).unwrap_err();
    let OpenError::Damaged { table: "journal", key: KeyBytes(named), .. } = &refused else { panic!("{refused}") };
    assert_eq!(**named, *key);
    // The same bit once more, and everything is there.
    flip_bit(&folder.path().join("journal"), None, &key);
    let (store, _) = TestStore::open(folder.path(), config());
    assert_eq!(store.records(Table::Inbox).len(), 5);
}

#[test]
fn a_lost_journal_record_refuses_to_open() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    for number in 0..3_u8 {
        store.enqueue_alone(vec![number; 10]);
    }
    drop(store);
    let key = [&[1][..], &2_u64.to_be_bytes(), &0_u32.to_be_bytes()].concat();
    crate::support::edit(&folder.path().join("journal"), None, |records, txn| {
        assert!(records.delete(txn, &key).unwrap());
    });
    let refused = TestStore::try_open(folder.path(), config()).unwrap_err();
    assert!(matches!(refused, OpenError::Gap { .. }), "{refused}");
}

#[test]
fn a_damaged_table_record_is_named_and_others_are_not_affected() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let positions: Vec<Position> = (0..5_u8).map(|number| store.enqueue(3, vec![number; 100])).collect();
    store.store.close().unwrap();
    let key = [&3_u16.to_be_bytes()[..], &positions[2].0.to_be_bytes()].concat();
    flip_bit(&folder.path().join("tables"), Some("inbox"), &key);

    let (store, _) = TestStore::open(folder.path(), config());
    let read = |position| store.store.get(&Key::Inbox { partition: Partition(3), position });
    for (number, &position) in positions.iter().enumerate() {
        match read(position) {
            Ok(value) if number != 2 => assert_eq!(value, Some(vec![number as u8; 100].into())),
            Err(ReadError::Damaged { table: "inbox", key: KeyBytes(named), .. }) if number == 2 => {
                assert_eq!(*named, *key)
            }
            other => panic!("record {number}: {other:?}"),
        }
    }
    let mut visited = 0;
    let scanned = store.store.scan(Table::Inbox, |_, _| {
        visited += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(scanned, Err(ReadError::Damaged { .. })) && visited == 2);
    // It can still be deleted, which is how an operator gets rid of it.
    store.submit(|stage| stage.delete(Key::Inbox { partition: Partition(3), position: positions[2] }));
    store.store.close().unwrap();
    let (store, _) = TestStore::open(folder.path(), config());
    assert_eq!(store.records(Table::Inbox).len(), 4);
}

#[test]
fn a_damaged_meta_record_refuses_to_open() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    store.enqueue(0, "something to apply");
    store.store.close().unwrap();
    flip_bit(&folder.path().join("tables"), Some("meta"), b"applied");
    let refused = TestStore::try_open(folder.path(), config()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { table: "meta", .. }), "{refused}");
}
