//! A store that was written once and is kept: every later version reads it, or refuses it by its version.
//!
//! `EVERPOST_WRITE_GOLDEN=1 cargo test -p everpost-persistence golden` writes it anew, after a change of format that
//! is on purpose: a new version gets a folder of its own, and the old one stays.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use everpost_persistence::{Config, Epoch, Key, MailboxId, Partition, Position, StoreId, Table};

use crate::support::{TestStore, config, folder};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store-v1")
}

fn settings() -> Config {
    Config { journal_map_bytes: 1 << 20, tables_map_bytes: 1 << 20, ..config() }
}

/// The records of the golden store, written out.
fn expected() -> Vec<(Key, Bytes)> {
    let (partition, mailbox) = (Partition(0x0102 % 64), MailboxId(0xA1B2_C3D4_0000_0000_0000_0000_0000_0001));
    vec![
        (Key::Inbox { partition, position: Position(1) }, "in the tables".into()),
        (Key::Inbox { partition, position: Position(8) }, "in the journal".into()),
        (Key::Inbox { partition: Partition(63), position: Position(2) }, vec![0x5A; 5000].into()),
        (Key::Mailbox { partition, mailbox }, "changed".into()),
        (Key::Attempts { partition, position: Position(1) }, "twice".into()),
        (Key::DeadLetter { position: Position(3) }, "given up".into()),
        (Key::Reply { partition, mailbox, request: 0x77 }, Bytes::new()),
    ]
}

/// One run that is closed, and one that ends as a crash does: so the golden store has tables, and a journal with a
/// tail.
fn write(folder: &Path) {
    let records = expected();
    let value = |index: usize| records[index].1.clone();
    let (partition, mailbox) = (Partition(2), MailboxId(0xA1B2_C3D4_0000_0000_0000_0000_0000_0001));
    let (store, _) = TestStore::open(folder, settings());
    store.submit(|stage| {
        let first = stage.enqueue(partition, value(0));
        stage.enqueue(Partition(63), value(2));
        let gone = stage.enqueue(partition, "deleted in the next group".into());
        stage.put(Key::Attempts { partition, position: first }, value(4));
        stage.put(Key::Mailbox { partition, mailbox }, "first".into());
        stage.put(Key::DeadLetter { position: gone }, value(5));
    });
    store.settle();
    store.submit(|stage| stage.delete(Key::Inbox { partition, position: Position(3) }));
    store.store.close().unwrap();

    let (store, _) = TestStore::open(folder, settings());
    let (_, position) = store.submit(|stage| {
        stage.put(Key::Mailbox { partition, mailbox }, value(3));
        stage.put(Key::Reply { partition, mailbox, request: 0x77 }, value(6));
        let gone = stage.enqueue(partition, "folded away".into());
        stage.delete(Key::Inbox { partition, position: gone });
        stage.enqueue(partition, value(1))
    });
    assert_eq!(position, Position(8), "the literal above");
    store.settle();
}

#[test]
fn the_golden_store_reads_as_written() {
    let kept = golden();
    if std::env::var_os("EVERPOST_WRITE_GOLDEN").is_some() {
        let _ = std::fs::remove_dir_all(&kept);
        write(&kept);
        for name in ["lock", "journal/lock.mdb", "tables/lock.mdb"] {
            std::fs::remove_file(kept.join(name)).unwrap();
        }
    }
    let folder = folder();
    for half in ["journal", "tables"] {
        let copy = folder.path().join(half);
        std::fs::create_dir_all(&copy).unwrap();
        std::fs::copy(kept.join(half).join("data.mdb"), copy.join("data.mdb")).unwrap();
        let size = std::fs::metadata(copy.join("data.mdb")).unwrap().len();
        assert!(size < 150_000, "{half} has {size} bytes");
    }
    let (store, opened) = TestStore::open(folder.path(), settings());
    assert!(!opened.clean && !opened.created);
    assert_eq!(opened.replayed_groups, 2);
    assert_eq!(opened.durable, Position(10));
    let Epoch { counter, .. } = store.store.epoch();
    assert_eq!(counter, 3);
    assert_ne!(store.store.id(), StoreId(0));
    let found: Vec<(Key, Bytes)> = Table::ALL.iter().flat_map(|&table| store.records(table)).collect();
    assert_eq!(found, expected());
}
