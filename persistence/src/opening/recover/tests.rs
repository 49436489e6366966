//! Stores that a build has written which counts wrong: all sums are right, and the numbers are not.

use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::admission::Class;
use crate::batch::{Change, Encoder};
use crate::declared;
use crate::hash::Chain;
use crate::ids::{COUNT_END, MailboxId, Partition, ShardId};
use crate::key::Key;
use crate::log::Log;
use crate::meta::Applied;
use crate::store::Store;
use crate::tables::Scrub;

const MAP_BYTES: u64 = 8 << 20;

fn config() -> Config {
    Config { journal_map_bytes: MAP_BYTES, tables_map_bytes: MAP_BYTES, disk_headroom_bytes: 0, ..Config::default() }
}

/// A store with a record in its tables; the last position that was given out.
fn make(folder: &Path) -> Position {
    let (store, _) = Store::open(folder, config(), declared::SCHEMA, || ()).unwrap();
    let permit = store.try_reserve(Class::Outside, 9).unwrap();
    let (ticket, _) = store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(3), "a message".into()));
    store.close().unwrap();
    ticket
}

fn halves(folder: &Path) -> (Folder, Journal, Tables) {
    let folder = Folder::lock(folder).unwrap();
    let mut journal = Journal::open(&folder.journal(), MAP_BYTES, declared::SCHEMA).unwrap();
    let (tables, _) = Tables::open(&folder.tables(), MAP_BYTES, declared::SCHEMA).unwrap();
    journal.verify(tables.applied().unwrap()).unwrap();
    (folder, journal, tables)
}

fn close((folder, journal, tables): (Folder, Journal, Tables)) {
    journal.close();
    tables.close();
    drop(folder);
}

/// Writes it as a checkpoint does that changes nothing else.
fn write_to_tables(folder: &Path, change: Change) {
    let halves = halves(folder);
    let Applied { group, position, chain } = halves.2.applied().unwrap();
    let mut folded = Folded::default();
    folded.absorb(group, Position(1), position, chain.unwrap(), [change].into_iter());
    halves.2.apply(&folded, &mut Scrub::new(declared::SCHEMA, 1)).unwrap();
    close(halves);
}

/// Writes it as a group that follows on the last one, with these numbers.
fn write_to_journal(folder: &Path, change: &Change, first: Position, last: Position) {
    let halves = halves(folder);
    let shard = halves.1.identity().unwrap().unwrap().store;
    append_to_journal(halves, shard, change, first, last);
}

fn append_to_journal(
    mut halves: (Folder, Journal, Tables),
    shard: ShardId,
    change: &Change,
    first: Position,
    last: Position,
) {
    let (group, mut buffer) = (halves.1.next(), vec![0; Journal::HEADROOM]);
    let mut encoder = Encoder::begin(&mut buffer, shard, group, first, last, halves.1.origin());
    encoder.push(change);
    encoder.finish();
    halves.1.append(group, &mut buffer).unwrap();
    close(halves);
}

/// What opening the store says, and looking at it; each the same.
fn refused(folder: &Path) -> OpenError {
    let looked_at = Store::inspect(folder, declared::SCHEMA).unwrap_err();
    let opened = Store::open(folder, config(), declared::SCHEMA, || ()).unwrap_err();
    assert_eq!(looked_at.to_string(), opened.to_string());
    opened
}

/// Records that no store has, by what is wrong with them.
fn impossible(last: Position) -> Vec<(Key, &'static str)> {
    let never = "its position was never given out";
    let nowhere = "the store has no such partition";
    let (partition, mailbox) = (Partition(3), MailboxId(7));
    let mut keys = vec![
        (declared::mailbox(Partition(64), mailbox), nowhere),
        (declared::timer(Partition(u16::MAX), 1), nowhere),
        (declared::supervision(Partition(64), mailbox), nowhere),
        (declared::attempts(partition, Position(0)), "no record has this position"),
    ];
    for position in [last.next().next(), Position(COUNT_END - 1), Position(u64::MAX)] {
        keys.extend([
            (declared::inbox(partition, position), never),
            (declared::outbox(partition, position), never),
            (declared::attempts(partition, position), never),
        ]);
    }
    keys
}

#[test]
fn a_record_that_nobody_can_have_written_refuses_the_store_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let last = make(folder.path());
    let last_of_group = last.next();
    for (key, reason) in impossible(last) {
        let change = || Change { key, value: Some(Bytes::from_static(b"value")) };
        // What is made ready for the tables would take memory for all positions in between.
        let is_far = key.position().is_some_and(|position| position > last_of_group.next());
        let is_queued = key.table().is_queue();
        for in_tables in [true, false].into_iter().filter(|in_tables| !(*in_tables && is_far && is_queued)) {
            let folder = tempfile::tempdir().unwrap();
            make(folder.path());
            if in_tables {
                write_to_tables(folder.path(), change());
            } else {
                write_to_journal(folder.path(), &change(), last_of_group, last_of_group);
            }
            let error = refused(folder.path());
            let OpenError::Damaged { table, key: named, reason: said } = &error else { panic!("{key:?}: {error}") };
            assert_eq!(
                (*table, &named.0[..], *said),
                (declared::SCHEMA.table(key.table()).name(), key.bytes(), reason),
                "{key:?}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let again = Change { key: declared::inbox(Partition(2), Position(1)), value: Some("x".into()) };
    write_to_journal(folder.path(), &again, last_of_group, last_of_group);
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Damaged { table: "inbox", reason: "its position was given out before", .. }));
}

/// Shards that share a journal must not be mixed up.
#[test]
fn a_group_of_another_shard_refuses_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let last = make(folder.path()).next();
    let change = Change { key: declared::note(1), value: Some("x".into()) };
    append_to_journal(halves(folder.path()), ShardId(1), &change, last, last);
    let error = refused(folder.path());
    assert!(error.to_string().contains("of another shard"), "{error}");
}

#[test]
fn a_count_that_no_store_comes_to_refuses_the_store_by_its_record() {
    let change = Change { key: declared::note(1), value: Some("x".into()) };
    let written = |write: &dyn Fn(&mut (Folder, Journal, Tables))| {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let mut halves = halves(folder.path());
        write(&mut halves);
        close(halves);
        Store::open(folder.path(), config(), declared::SCHEMA, || ()).unwrap_err()
    };
    for count in [COUNT_END, u64::MAX] {
        let opened_often =
            written(&|(_, journal, _)| journal.start_run(ShardId(1), Epoch { counter: count, nonce: 1 }).unwrap());
        let far = |group, position| {
            let mut folded = Folded::default();
            folded.absorb(group, Position(1), position, Chain::default(), std::iter::empty());
            folded
        };
        let positions = written(&|(_, _, tables)| {
            tables.apply(&far(Group(1), Position(count)), &mut Scrub::new(declared::SCHEMA, 1)).unwrap()
        });
        let groups = written(&|(_, _, tables)| {
            tables.apply(&far(Group(count), Position(2)), &mut Scrub::new(declared::SCHEMA, 1)).unwrap()
        });
        for error in [opened_often, positions, groups] {
            let named = matches!(
                error,
                OpenError::Damaged { table: "journal" | "meta", reason, .. } if reason.contains("a number in it")
            );
            assert!(named, "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        write_to_journal(folder.path(), &change, Position(3), Position(count));
        let error = refused(folder.path());
        assert!(matches!(error, OpenError::Damaged { table: "journal", .. }), "{error}");
    }
}
