//! One order for everything, whoever submits.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use everpost_persistence::{Class, Config, Key, Partition, Position};

use crate::declared;
use crate::support::{TestStore, config, folder};

#[test]
fn positions_follow_the_order_of_submission_over_many_threads() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let submitted: Vec<Vec<(Position, Position, Vec<u8>)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u8)
            .map(|thread| {
                let store = store.clone();
                scope.spawn(move || {
                    let submit = |number: u8| {
                        let value = vec![thread, number];
                        let (ticket, position) = store.submit(|stage| {
                            stage.enqueue(&declared::INBOX, Partition(u16::from(thread)), value.clone().into())
                        });
                        (position, ticket, value)
                    };
                    (0..200).map(submit).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    store.settle();
    let mut positions = Vec::new();
    for (thread, records) in (0..).zip(&submitted) {
        assert!(records.is_sorted_by_key(|&(position, ..)| position));
        let key = |&(position, ..): &(Position, _, _)| declared::inbox(Partition(thread), position);
        let asked: Vec<Key> = records.iter().map(key).collect();
        let found = store.store.records(&asked).unwrap();
        for ((position, ticket, value), found) in records.iter().zip(found) {
            assert_eq!(found.as_deref(), Some(&value[..]));
            assert_eq!(ticket.0, position.0 + 1);
            positions.extend([*position, *ticket]);
        }
    }
    positions.sort_unstable();
    assert_eq!(positions, (1..=1600).map(Position).collect::<Vec<_>>(), "no hole, nothing twice");
}

#[test]
fn a_cancelled_reserve_leaves_no_hole() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), Config { queue_turns_max: 1, ..config() });
    let held = store.reserve(Class::Outside, 10);
    {
        let mut waiting = pin!(store.store.reserve(Class::Outside, 10));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let (ticket, position) =
        store.store.submit(held, |stage| stage.enqueue(&declared::INBOX, Partition(0), "first".into()));
    assert_eq!((position, ticket), (Position(1), Position(2)));
    assert!(store.wait_durable(ticket));
    assert_eq!(store.enqueue(0, "second"), Position(3));
}

#[test]
fn what_is_durable_can_be_read() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), Config { checkpoint_bytes: 4096, ..config() });
    let reader = store.clone();
    let (send, receive) = std::sync::mpsc::sync_channel::<Position>(64);
    let checking = std::thread::spawn(move || {
        for position in receive {
            assert!(reader.wait_durable(position));
            let key = declared::inbox(Partition(5), position);
            assert_eq!(reader.store.get(&key).unwrap().as_deref(), Some(&position.0.to_be_bytes()[..]));
        }
    });
    for _ in 0..3000 {
        let (_, position) = store.submit(|stage| {
            // The next position is not known before; it is the one that a record enqueued now would get.
            let position = stage.enqueue(&declared::INBOX, Partition(5), bytes::Bytes::new());
            stage.delete(declared::inbox(Partition(5), position));
            let expected = Position(position.0 + 1);
            assert_eq!(
                stage.enqueue(&declared::INBOX, Partition(5), expected.0.to_be_bytes().to_vec().into()),
                expected
            );
            expected
        });
        send.send(position).unwrap();
    }
    drop(send);
    checking.join().unwrap();
    assert!(store.store.statistics().checkpoints > 3);
    assert_eq!(store.records(declared::INBOX).len(), 3000);
}

#[test]
fn the_journal_stays_small_under_a_steady_queue() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), Config { journal_map_bytes: 2 << 20, ..config() });
    let mut waiting = std::collections::VecDeque::new();
    let mut most = 0;
    for round in 0..3000 {
        let (_, position) = store.submit(|stage| {
            let position = stage.enqueue(&declared::INBOX, Partition(1), vec![round as u8; 1000].into());
            if waiting.len() > 50 {
                let position = waiting.pop_front().unwrap();
                stage.delete(declared::inbox(Partition(1), position));
            }
            position
        });
        waiting.push_back(position);
        if round % 4 == 0 {
            store.settle();
        }
        most = most.max(store.store.statistics().journal_used_bytes);
    }
    let statistics = store.store.statistics();
    assert!(statistics.checkpoints > 3, "{statistics:?}");
    assert!(statistics.journal_bytes > 3_000_000, "{statistics:?}");
    // Beyond half of its map the writer waits for the checkpointer, whoever is slow.
    assert!(most < 1_200_000, "{most} of {}", statistics.journal_bytes);
    let size = std::fs::metadata(folder.path().join("journal/data.mdb")).unwrap().len();
    assert!(size < 1_700_000, "{size}");
}

#[test]
fn a_waiting_reserve_ends_with_the_store() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), Config { queue_turns_max: 1, ..config() });
    let held = store.reserve(Class::Outside, 10);
    let waiting = std::thread::spawn({
        let store = store.store.clone();
        move || crate::support::block_on(store.reserve(Class::Outside, 10)).map(drop)
    });
    store.store.close().unwrap();
    let told = waiting.join().unwrap();
    assert!(matches!(told, Err(everpost_persistence::AdmissionError::Closed)), "{told:?}");
    let (ticket, ()) = store.store.submit(held, |stage| {
        stage.enqueue(&declared::INBOX, Partition(0), "too late".into());
    });
    assert!(store.store.durable() < ticket);
    drop(store);
    assert_eq!(TestStore::open(folder.path(), config()).0.records(declared::INBOX), []);
}
