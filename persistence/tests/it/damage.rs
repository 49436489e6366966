//! A flipped bit on the disk: named, and nothing else is lost.

use std::ops::ControlFlow;

use everpost_persistence::{KeyBytes, OpenError, Partition, Position, ReadError};

use crate::declared;
use crate::support::{TestStore, block_on, config, edit, flip_bit, folder};

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
    assert_eq!(store.records(declared::INBOX).len(), 5);
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
    edit(&folder.path().join("journal"), None, |records, txn| {
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
    let read = |position| store.store.get(&declared::inbox(Partition(3), position));
    // For tasks, many are read at a time: who asks for the damaged one is told, and nobody else.
    let for_tasks = block_on(async {
        let reads: Vec<_> = positions.iter().map(|&position| tokio::spawn(read_for_task(&store, position))).collect();
        let mut read = Vec::new();
        for reading in reads {
            read.push(reading.await.unwrap());
        }
        read
    });
    for (number, &position) in positions.iter().enumerate() {
        for read in [read(position), for_tasks[number].clone()] {
            match read {
                Ok(value) if number != 2 => assert_eq!(value, Some(vec![number as u8; 100].into())),
                Err(ReadError::Damaged { table: "inbox", key: KeyBytes(named), .. }) if number == 2 => {
                    assert_eq!(*named, *key)
                }
                other => panic!("record {number}: {other:?}"),
            }
        }
    }
    let mut visited = 0;
    let scanned = store.store.scan(&declared::INBOX, |_, _| {
        visited += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(scanned, Err(ReadError::Damaged { .. })) && visited == 2);
    // It can still be deleted, which is how an operator gets rid of it.
    store.submit(|stage| stage.delete(declared::inbox(Partition(3), positions[2])));
    store.store.close().unwrap();
    let (store, _) = TestStore::open(folder.path(), config());
    assert_eq!(store.records(declared::INBOX).len(), 4);
}

fn read_for_task(
    store: &TestStore,
    position: Position,
) -> impl Future<Output = Result<Option<bytes::Bytes>, ReadError>> + use<> {
    let store = store.store.clone();
    async move { store.read(declared::inbox(Partition(3), position)).await }
}

#[test]
fn a_damaged_or_lost_chunk_names_its_record_and_goes_with_it() {
    enum Harm {
        Flip,
        Lose(u32),
        LoseAll,
        Swap,
        FlipRecord,
    }
    for harm in [Harm::Flip, Harm::Lose(0), Harm::Lose(1), Harm::Lose(2), Harm::LoseAll, Harm::Swap, Harm::FlipRecord] {
        let folder = folder();
        let tables = folder.path().join("tables");
        let (store, _) = TestStore::open(folder.path(), config());
        let positions: Vec<Position> = (0..3_u8).map(|number| store.enqueue(3, vec![number; 10_000])).collect();
        store.store.close().unwrap();
        let key = |at: usize| [&3_u16.to_be_bytes()[..], &positions[at].0.to_be_bytes()].concat();
        let chunk = |at: usize, number: u32| [&[1][..], &key(at), &number.to_be_bytes()].concat();
        match harm {
            Harm::Flip => flip_bit(&tables, Some("chunks"), &chunk(1, 1)),
            Harm::FlipRecord => flip_bit(&tables, Some("inbox"), &key(1)),
            _ => edit(&tables, Some("chunks"), |chunks, txn| match harm {
                Harm::Lose(number) => assert!(chunks.delete(txn, &chunk(1, number)).unwrap()),
                Harm::LoseAll => assert!((0..3).all(|number| chunks.delete(txn, &chunk(1, number)).unwrap())),
                _ => {
                    let other = chunks.get(txn, &chunk(2, 1)).unwrap().unwrap().to_vec();
                    chunks.put(txn, &chunk(1, 1), &other).unwrap();
                }
            }),
        }

        let (store, _) = TestStore::open(folder.path(), config());
        let of = |at: usize| declared::inbox(Partition(3), positions[at]);
        for (at, number) in [(0, 0_u8), (2, 2)] {
            assert_eq!(store.store.get(&of(at)).unwrap(), Some(vec![number; 10_000].into()));
        }
        let refused = store.store.get(&of(1)).unwrap_err();
        let ReadError::Damaged { table: "inbox", key: KeyBytes(named), .. } = &refused else { panic!("{refused}") };
        assert_eq!(**named, *key(1));
        let mut visited = 0;
        let scanned = store.store.scan(&declared::INBOX, |_, _| {
            visited += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(scanned, Err(ReadError::Damaged { table: "inbox", .. })) && visited == 1, "{scanned:?}");
        // Whatever is left of it goes when it is deleted.
        store.submit(|stage| stage.delete(of(1)));
        store.store.close().unwrap();
        let (store, _) = TestStore::open(folder.path(), config());
        assert_eq!(store.records(declared::INBOX).len(), 2);
        store.store.close().unwrap();
        edit(&tables, Some("chunks"), |chunks, txn| assert_eq!(chunks.len(txn).unwrap(), 6, "of the other two"));
    }
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
