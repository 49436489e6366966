//! Opening: who may, what is refused, and what is completed.

use everpost_persistence::{Environment, MailboxId, OpenError, Partition, Position, Store};

use crate::declared;
use crate::support::{TestStore, config, edit, folder};

#[test]
fn a_second_handle_is_refused_until_the_first_is_gone() {
    let folder = folder();
    let (first, opened) = TestStore::open(folder.path(), config());
    assert!(opened.created && opened.clean);
    let refused = TestStore::try_open(folder.path(), config());
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    first.store.close().unwrap();
    // The handle is still there, the store is not.
    TestStore::open(folder.path(), config());
}

#[test]
fn another_process_is_refused() {
    const CHILD: &str = "EVERPOST_TEST_OPEN";
    if let Some(folder) = std::env::var_os(CHILD) {
        let refused = Store::open(folder.as_ref(), config(), declared::SCHEMA, || ());
        assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
        return;
    }
    let folder = folder();
    let (_first, _) = TestStore::open(folder.path(), config());
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "open::another_process_is_refused"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
}

#[test]
fn a_closed_store_is_clean_and_complete() {
    let folder = folder();
    let mailbox = declared::mailbox(Partition(2), MailboxId(9));
    let (store, _) = TestStore::open(folder.path(), config());
    let (id, epoch) = (store.store.id(), store.store.epoch());
    let position = store.enqueue(1, "kept");
    store.submit(|stage| stage.put(mailbox, "state".into()));
    store.store.close().unwrap();
    store.store.close().unwrap();
    assert!(store.store.get(&mailbox).is_err(), "closed");
    let durable = store.store.durable();

    let (store, opened) = TestStore::open(folder.path(), config());
    assert!(opened.clean && !opened.created);
    assert_eq!((opened.replayed_groups, opened.durable), (0, durable));
    assert_eq!(store.store.id(), id);
    assert_eq!(store.store.epoch().counter, epoch.counter + 1);
    assert_ne!(store.store.epoch().nonce, epoch.nonce);
    assert_eq!(store.records(declared::INBOX), [(declared::inbox(Partition(1), position), "kept".into())]);
    assert_eq!(store.store.get(&mailbox).unwrap().as_deref(), Some(&b"state"[..]));
    assert!(store.enqueue(1, "later") > durable, "positions go on");
}

#[test]
fn a_dropped_store_is_not_clean_and_loses_nothing_durable() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let positions: Vec<Position> = (0..10).map(|number| store.enqueue(number, vec![number as u8; 100])).collect();
    store.settle();
    drop(store);
    let (store, opened) = TestStore::open(folder.path(), config());
    assert!(!opened.clean);
    assert!(opened.replayed_groups > 0);
    for (number, &position) in (0..).zip(&positions) {
        let found = store.store.get(&declared::inbox(Partition(number), position)).unwrap();
        assert_eq!(found, Some(vec![number as u8; 100].into()));
    }
}

#[test]
fn the_partition_count_is_fixed() {
    let folder = folder();
    drop(TestStore::open(folder.path(), config()));
    let other = everpost_persistence::Config { partitions: 65.try_into().unwrap(), ..config() };
    let refused = TestStore::try_open(folder.path(), other);
    assert!(matches!(refused, Err(OpenError::PartitionCount { stored: 64, configured: 65 })), "{refused:?}");
}

#[test]
fn another_format_is_refused_in_either_half() {
    for (half, database, key) in [("journal", None, &b"\0format"[..]), ("tables", Some("meta"), b"format")] {
        let folder = folder();
        drop(TestStore::open(folder.path(), config()));
        edit(&folder.path().join(half), database, |records, txn| records.put(txn, key, &7_u32.to_be_bytes()).unwrap());
        let refused = TestStore::try_open(folder.path(), config());
        let Err(OpenError::FormatVersion { environment, found: 7, supported: 6 }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(environment.to_string(), half);
    }
}

#[test]
fn halves_of_two_stores_are_refused() {
    let (one, other) = (folder(), folder());
    for folder in [&one, &other] {
        TestStore::open(folder.path(), config()).0.store.close().unwrap();
    }
    std::fs::remove_dir_all(one.path().join("tables")).unwrap();
    std::fs::rename(other.path().join("tables"), one.path().join("tables")).unwrap();
    let refused = TestStore::try_open(one.path(), config());
    assert!(matches!(refused, Err(OpenError::ShardMismatch { .. })), "{refused:?}");
}

/// Copies one half of a closed store.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::copy(from.join("data.mdb"), to.join("data.mdb")).unwrap();
}

#[test]
fn halves_of_two_times_are_refused() {
    for (restored, reason) in [("tables", "groups between"), ("journal", "older than the tables")] {
        let folder = folder();
        let (half, aside) = (folder.path().join(restored), folder.path().join("aside"));
        for round in 0..2 {
            let (store, _) = TestStore::open(folder.path(), config());
            store.enqueue(0, "one more");
            store.store.close().unwrap();
            if round == 0 {
                copy(&half, &aside);
            }
        }
        std::fs::remove_dir_all(&half).unwrap();
        copy(&aside, &half);
        let refused = TestStore::try_open(folder.path(), config());
        assert!(matches!(refused, Err(OpenError::Gap { .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains(reason));
    }
}

/// Both halves of an earlier moment fit each other, and what came after was gone without a word.
#[test]
fn an_older_copy_of_the_whole_store_is_refused_until_it_is_said_to_be_wanted() {
    for closes in [true, false] {
        let folder = folder();
        let aside = folder.path().join("aside");
        let (store, _) = TestStore::open(folder.path(), config());
        store.enqueue(0, "in the copy");
        store.store.close().unwrap();
        drop(store);
        for half in ["journal", "tables"] {
            copy(&folder.path().join(half), &aside.join(half));
        }
        let (store, _) = TestStore::open(folder.path(), config());
        store.enqueue(0, "after it");
        store.settle();
        if closes {
            store.store.close().unwrap();
        }
        drop(store);
        for half in ["journal", "tables"] {
            std::fs::remove_dir_all(folder.path().join(half)).unwrap();
            copy(&aside.join(half), &folder.path().join(half));
        }
        for refused in [
            TestStore::try_open(folder.path(), config()).map(|_| ()),
            Store::inspect(folder.path(), declared::SCHEMA).map(|_| ()),
        ] {
            assert!(matches!(refused, Err(OpenError::Shorter { .. })), "{refused:?}");
            assert!(refused.unwrap_err().to_string().contains("remove the file `slots`"));
        }
        std::fs::remove_file(folder.path().join("slots")).unwrap();
        assert_eq!(TestStore::open(folder.path(), config()).0.records(declared::INBOX).len(), 1);
    }
}

/// What is kept beside another store says nothing of this one.
#[test]
fn slots_of_another_store_or_of_an_older_build_refuse_nothing() {
    let (one, other) = (folder(), folder());
    for (folder, groups) in [(&one, 1), (&other, 20)] {
        let (store, _) = TestStore::open(folder.path(), config());
        (0..groups).for_each(|_| store.settle());
        store.store.close().unwrap();
    }
    std::fs::copy(other.path().join("slots"), one.path().join("slots")).unwrap();
    drop(TestStore::open(one.path(), config()));
    let mut bytes = std::fs::read(one.path().join("slots")).unwrap();
    bytes[7] = 2;
    bytes[8..64].fill(0);
    std::fs::write(one.path().join("slots"), bytes).unwrap();
    drop(TestStore::open(one.path(), config()));
}

#[test]
fn a_missing_half_is_refused() {
    for (half, environment) in [("journal", Environment::Journal), ("tables", Environment::Tables)] {
        let folder = folder();
        TestStore::open(folder.path(), config()).0.store.close().unwrap();
        std::fs::remove_dir_all(folder.path().join(half)).unwrap();
        let refused = TestStore::try_open(folder.path(), config());
        assert!(
            matches!(refused, Err(OpenError::Missing { environment: missing }) if missing == environment),
            "{refused:?}"
        );
    }
}

#[test]
fn a_map_below_its_data_is_refused() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    for _ in 0..40 {
        store.enqueue(0, vec![7; 100_000]);
    }
    store.store.close().unwrap();
    let small = everpost_persistence::Config { tables_map_bytes: 1 << 20, ..config() };
    let refused = TestStore::try_open(folder.path(), small);
    assert!(matches!(refused, Err(OpenError::MapTooSmall { environment: Environment::Tables, .. })), "{refused:?}");
    assert_eq!(TestStore::open(folder.path(), config()).0.records(declared::INBOX).len(), 40);
}

#[test]
fn disk_can_be_set_aside() {
    use std::os::unix::fs::MetadataExt;

    let folder = folder();
    let reserving = everpost_persistence::Config { reserve_disk_bytes: 8 << 20, ..config() };
    let (store, _) = TestStore::open(folder.path(), reserving);
    store.enqueue(0, "kept");
    store.settle();
    for half in ["journal", "tables"] {
        let file = std::fs::metadata(folder.path().join(half).join("data.mdb")).unwrap();
        assert!(file.blocks() * 512 >= 8 << 20, "{half} has {} blocks", file.blocks());
        assert!(file.len() < 1 << 20);
    }
}
