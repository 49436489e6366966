//! Stores that were written once and are kept, one a format: every later version reads them, or refuses them by their
//! version.
//!
//! `EVERPOST_WRITE_GOLDEN=1 cargo test -p everpost-persistence golden` writes the newest anew, after a change of format
//! that is on purpose: a new version gets a folder of its own, and the old ones stay as they are.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use everpost_persistence::{Config, Epoch, Key, MailboxId, Opened, Partition, Position, ShardId, Table};

use crate::declared;
use crate::support::{TestStore, config, folder};

const PARTITION: Partition = Partition(0x0102 % 64);
const MAILBOX: MailboxId = MailboxId(0xA1B2_C3D4_0000_0000_0000_0000_0000_0001);
const PEER: ShardId = ShardId(0x0F1E_2D3C_0000_0000_0000_0000_0000_0002);

/// Where a golden store is kept.
fn kept(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/store-v{version}"))
}

fn settings() -> Config {
    Config { journal_map_bytes: 1 << 20, tables_map_bytes: 1 << 20, ..config() }
}

/// Puts a copy of a golden store into a folder.
pub(crate) fn copy(version: u32, folder: &Path) {
    for half in ["journal", "tables"] {
        let copy = folder.join(half);
        std::fs::create_dir_all(&copy).unwrap();
        std::fs::copy(kept(version).join(half).join("data.mdb"), copy.join("data.mdb")).unwrap();
        let size = std::fs::metadata(copy.join("data.mdb")).unwrap().len();
        assert!(size < 150_000, "{half} has {size} bytes");
    }
}

/// The records of the golden store of format 1, written out.
pub(crate) fn records_v1() -> Vec<(Key, Bytes)> {
    let (partition, mailbox) = (PARTITION, MAILBOX);
    vec![
        (declared::inbox(partition, Position(1)), "in the tables".into()),
        (declared::inbox(partition, Position(8)), "in the journal".into()),
        (declared::inbox(Partition(63), Position(2)), vec![0x5A; 5000].into()),
        (declared::mailbox(partition, mailbox), "changed".into()),
        (declared::attempts(partition, Position(1)), "twice".into()),
        (declared::dead_letter(Position(3)), "given up".into()),
        (declared::reply(partition, mailbox, 0x77), Bytes::new()),
    ]
}

/// The records of the golden store of format 2, written out.
fn records_v2() -> Vec<(Key, Bytes)> {
    let (partition, mailbox) = (PARTITION, MAILBOX);
    vec![
        (declared::inbox(partition, Position(1)), "in the tables".into()),
        (declared::inbox(partition, Position(9)), "in the journal".into()),
        (declared::inbox(Partition(63), Position(2)), vec![0x5A; 5000].into()),
        (declared::mailbox(partition, mailbox), "changed".into()),
        (declared::attempts(partition, Position(1)), "twice".into()),
        (declared::dead_letter(Position(3)), "given up".into()),
        (declared::reply(partition, mailbox, 0x77), Bytes::new()),
        (declared::outbox(partition, Position(4)), "on its way".into()),
        (declared::outbox(partition, Position(11)), "on its way, in the journal".into()),
        (declared::received(partition, PEER, 0x88), "received".into()),
        (declared::acknowledged(partition, PEER, 0x99), "acknowledged further".into()),
        (declared::peer(PEER), "known".into()),
    ]
}

/// The records of the golden store of format 3, written out.
fn records_v3() -> Vec<(Key, Bytes)> {
    let (partition, mailbox) = (PARTITION, MAILBOX);
    let mut records = records_v2();
    records.extend([
        (declared::timer(partition, 0xAA), "later".into()),
        (declared::timer(partition, 0xBB), "later, in the journal".into()),
        (declared::request(partition, mailbox, 0xCC), "what came of it".into()),
        (declared::supervision(partition, mailbox), "paused".into()),
    ]);
    // Three chunks, of which the last is short. That of 5,000 bytes has two.
    records[4].1 = (0..10_000_u32).map(|index| (index / 40) as u8).collect();
    records
}

/// The records of the golden stores from format 4 on, written out.
pub(crate) fn records_v4() -> Vec<(Key, Bytes)> {
    let mut records = records_v3();
    records.push((declared::note(0xDD), "about the node".into()));
    records
}

/// Writes the golden store of the newest format. One run that is closed, and one that ends as a crash does: so it has
/// tables, and a journal with a tail.
fn write(folder: &Path) {
    let records = records_v4();
    let value = |index: usize| records[index].1.clone();
    let (partition, mailbox) = (PARTITION, MAILBOX);
    let acknowledged = declared::acknowledged(partition, PEER, 0x99);
    let (store, _) = TestStore::open(folder, settings());
    store.submit(|stage| {
        let first = stage.enqueue(&declared::INBOX, partition, value(0));
        stage.enqueue(&declared::INBOX, Partition(63), value(2));
        let gone = stage.enqueue(&declared::INBOX, partition, "deleted in the next group".into());
        stage.enqueue(&declared::OUTBOX, partition, value(7));
        stage.put(declared::attempts(partition, first), value(4));
        stage.put(declared::mailbox(partition, mailbox), "first".into());
        stage.put(declared::dead_letter(gone), value(5));
        stage.put(declared::received(partition, PEER, 0x88), value(9));
        stage.put(acknowledged, "acknowledged".into());
        stage.put(declared::timer(partition, 0xAA), value(12));
        stage.put(declared::timer(partition, 0xDD), "cancelled".into());
        stage.put(declared::supervision(partition, mailbox), value(15));
    });
    store.settle();
    store.submit(|stage| stage.delete(declared::inbox(partition, Position(3))));
    store.store.close().unwrap();

    let (store, _) = TestStore::open(folder, settings());
    let (_, positions) = store.submit(|stage| {
        stage.put(declared::mailbox(partition, mailbox), value(3));
        stage.put(declared::reply(partition, mailbox, 0x77), value(6));
        stage.put(acknowledged, value(10));
        stage.put(declared::peer(PEER), value(11));
        stage.put(declared::timer(partition, 0xBB), value(13));
        stage.delete(declared::timer(partition, 0xDD));
        stage.put(declared::request(partition, mailbox, 0xCC), value(14));
        stage.put(declared::note(0xDD), value(16));
        let gone = stage.enqueue(&declared::INBOX, partition, "folded away".into());
        stage.delete(declared::inbox(partition, gone));
        let inbox = stage.enqueue(&declared::INBOX, partition, value(1));
        let gone = stage.enqueue(&declared::OUTBOX, partition, "folded away too".into());
        stage.delete(declared::outbox(partition, gone));
        (inbox, stage.enqueue(&declared::OUTBOX, partition, value(8)))
    });
    assert_eq!(positions, (Position(9), Position(11)), "the literals above");
    store.settle();
}

/// Every record of a store, in the order of the tables and the keys.
pub(crate) fn all_records(store: &TestStore) -> Vec<(Key, Bytes)> {
    declared::SCHEMA.tables().iter().flat_map(|table| store.records(*table)).collect()
}

/// A golden store, and what is in it.
pub(crate) struct Golden {
    pub(crate) version: u32,
    /// The last durable position.
    pub(crate) durable: Position,
    pub(crate) records: Vec<(Key, Bytes)>,
}

/// All of them, oldest first.
pub(crate) fn stores() -> [Golden; 6] {
    [
        Golden { version: 1, durable: Position(10), records: records_v1() },
        Golden { version: 2, durable: Position(13), records: records_v2() },
        Golden { version: 3, durable: Position(13), records: records_v3() },
        Golden { version: 4, durable: Position(13), records: records_v4() },
        // The sums over the tables are no records of theirs.
        Golden { version: 5, durable: Position(13), records: records_v4() },
        // Nor is the shard that a batch names.
        Golden { version: 6, durable: Position(13), records: records_v4() },
    ]
}

/// Opens a copy of a golden store, and compares everything in it.
fn check(golden: Golden) {
    let Golden { version, durable, records: expected } = golden;
    let folder = folder();
    copy(version, folder.path());
    let (store, opened) = TestStore::open(folder.path(), settings());
    let Opened { clean, created, replayed_groups, .. } = opened;
    assert_eq!((clean, created, replayed_groups), (false, false, 2));
    assert_eq!(opened.durable, durable);
    let Epoch { counter, .. } = store.store.epoch();
    assert_eq!(counter, 3);
    assert_ne!(store.store.id(), ShardId(0));
    assert_eq!(all_records(&store), expected);
    // Once more from the tables alone.
    store.store.close().unwrap();
    let (store, opened) = TestStore::open(folder.path(), settings());
    assert_eq!((opened.clean, opened.replayed_groups, opened.durable), (true, 0, durable));
    assert_eq!(all_records(&store), expected);
}

#[test]
fn the_golden_store_of_format_1_reads_as_written() {
    let [golden, ..] = stores();
    check(golden);
}

#[test]
fn the_golden_store_of_format_2_reads_as_written() {
    let [_, golden, ..] = stores();
    check(golden);
}

#[test]
fn the_golden_store_of_format_3_reads_as_written() {
    let [_, _, golden, ..] = stores();
    check(golden);
}

#[test]
fn the_golden_store_of_format_4_reads_as_written() {
    let [_, _, _, golden, ..] = stores();
    check(golden);
}

#[test]
fn the_golden_store_of_format_5_reads_as_written() {
    let [_, _, _, _, golden, _] = stores();
    check(golden);
}

#[test]
fn the_golden_store_of_format_6_reads_as_written() {
    let kept = kept(6);
    if std::env::var_os("EVERPOST_WRITE_GOLDEN").is_some() {
        let _ = std::fs::remove_dir_all(&kept);
        write(&kept);
        for name in ["lock", "slots", "journal/lock.mdb", "tables/lock.mdb"] {
            std::fs::remove_file(kept.join(name)).unwrap();
        }
    }
    let [.., golden] = stores();
    let has = |table: &Table| golden.records.iter().any(|(key, _)| key.table() == table.id());
    assert!(declared::SCHEMA.tables().iter().all(has), "one of every table");
    check(golden);
}
