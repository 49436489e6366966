//! Full maps and full disks: outside work is refused in time, deletions go through, and room comes back.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use everpost_persistence::{
    AdmissionError, Class, CommitError, Config, Environment, Key, OpenError, Partition, Position, Slots, Store,
};

use crate::declared;
use crate::support::{TestStore, block_on, config, folder};

fn tiny() -> Config {
    Config { journal_map_bytes: 1 << 20, tables_map_bytes: 2 << 20, ..config() }
}

/// Enqueues from outside until that is refused; the positions, and the refusal.
fn fill(store: &TestStore, bytes: usize) -> (Vec<Position>, AdmissionError) {
    let (mut positions, mut settled) = (Vec::new(), false);
    loop {
        // What is on its way counts more than what is there; it is the store that has to be full, not the moment.
        let at_rest = settled && store.store.statistics().overlay_bytes == 0;
        match block_on(store.store.reserve(Class::Outside, bytes)) {
            Ok(permit) => {
                let value = vec![positions.len() as u8; bytes];
                positions.push(
                    store.store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(0), value.into())).1,
                );
                settled = false;
            }
            Err(refused) if at_rest => return (positions, refused),
            Err(_) => {
                store.settle();
                settled = true;
            }
        }
    }
}

fn delete(store: &TestStore, position: Position) {
    let permit = store.reserve(Class::Turn { growth: 0 }, 0);
    store.store.submit(permit, |stage| stage.delete(declared::inbox(Partition(0), position)));
}

#[test]
fn full_tables_refuse_outside_work_and_recover() {
    for bytes in [100, 1500, 5000, 20_000, 60_000] {
        let folder = folder();
        let (store, _) = TestStore::open(folder.path(), tiny());
        let (mut waiting, refused) = fill(&store, bytes);
        assert!(matches!(refused, AdmissionError::StoreFull { which: Environment::Tables, .. }), "{bytes}: {refused}");
        assert!(
            waiting.len() * bytes > 600_000,
            "{bytes}: only {} fit, {refused}, {:?}",
            waiting.len(),
            store.store.statistics()
        );
        // Turns go on to 95 %, and then wait.
        while let Ok(permit) = store.store.try_reserve(Class::Turn { growth: 1 }, bytes) {
            let value = vec![0; bytes];
            waiting.push(
                store.store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(0), value.into())).1,
            );
            store.settle();
        }
        // Deletions that touch every page go through; then there is room again.
        for (_, &position) in waiting.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
            delete(&store, position);
        }
        store.settle();
        let left: Vec<Position> = waiting.iter().copied().skip(1).step_by(2).collect();
        let key = |&position: &Position| declared::inbox(Partition(0), position);
        let found: Vec<Key> = store.records(declared::INBOX).into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, left.iter().map(key).collect::<Vec<_>>(), "{bytes}");
        for &position in waiting.iter().skip(1).step_by(2) {
            delete(&store, position);
        }
        store.settle();
        store.store.close().unwrap();
        let (store, _) = TestStore::open(folder.path(), tiny());
        let (again, _) = fill(&store, bytes);
        store.settle();
        assert!(again.len() * 10 > waiting.len() * 7, "{bytes}: {} after {}", again.len(), waiting.len());
        assert_eq!(store.records(declared::INBOX).len(), again.len());
        store.store.close().unwrap();
    }
}

/// Where every other page is free, nothing that takes two finds room, however many are free.
#[test]
fn large_values_find_room_where_free_pages_lie_apart() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let (small, _) = fill(&store, 3000);
    for &position in small.iter().step_by(2) {
        delete(&store, position);
    }
    store.settle();
    store.store.close().unwrap();
    let (store, _) = TestStore::open(folder.path(), config());
    let free = (64 << 20) - store.store.statistics().tables_used_bytes;
    // As large as one submission may be here. A fifth of the map was never used; what is put in is more than that.
    let bytes = 4 << 20;
    let (large, refused) = fill(&store, bytes);
    assert!(matches!(refused, AdmissionError::StoreFull { which: Environment::Tables, .. }), "{refused}");
    assert!(large.len() * bytes > 16 << 20, "{} of {free} free", large.len());
    store.store.close().unwrap();

    let (store, _) = TestStore::open(folder.path(), config());
    for (number, &position) in large.iter().enumerate() {
        let value = store.store.get(&declared::inbox(Partition(0), position)).unwrap().unwrap();
        assert!(value.len() == bytes && value.iter().all(|&byte| byte == number as u8), "{number}");
        delete(&store, position);
    }
    store.store.close().unwrap();
    let (store, _) = TestStore::open(folder.path(), config());
    assert_eq!(store.records(declared::INBOX).len(), small.len() / 2);
    let free_again = (64 << 20) - store.store.statistics().tables_used_bytes;
    assert!(free_again + (1 << 20) > free, "{free_again} of {free}: their chunks are gone with them");
}

#[test]
fn room_comes_back_without_a_restart() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), tiny());
    for _ in 0..3 {
        let (waiting, _) = fill(&store, 1000);
        let (full, is_full) = std::sync::mpsc::channel();
        let turn = std::thread::spawn({
            let store = store.clone();
            move || {
                while let Ok(permit) = store.store.try_reserve(Class::Turn { growth: 1 }, 1000) {
                    store
                        .store
                        .submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(1), vec![0; 1000].into()));
                    store.settle();
                }
                full.send(()).unwrap();
                // Waits for room that only the deletions below can make.
                drop(store.reserve(Class::Turn { growth: 1 }, 1000));
            }
        });
        is_full.recv().unwrap();
        waiting.iter().for_each(|&position| delete(&store, position));
        turn.join().unwrap();
        for (key, _) in store.records(declared::INBOX) {
            store.submit(|stage| stage.delete(key));
        }
        store.settle();
        while store.store.try_reserve(Class::Outside, 1000).is_err() {
            // Each settling lets another slice of deletions reach the tables.
            store.settle();
        }
    }
    store.store.close().unwrap();
}

#[test]
fn the_journal_never_fills_up_before_the_tables() {
    let folder = folder();
    let config = Config { journal_map_bytes: 1 << 20, ..config() };
    let (store, _) = TestStore::open(folder.path(), config);
    for round in 0..400_u32 {
        let permit = store.reserve(Class::Outside, 50_000);
        let value = vec![round as u8; 50_000];
        store.store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(0), value.into()));
    }
    store.settle();
    let statistics = store.store.statistics();
    assert!(statistics.waits_for_checkpoint > 0 || statistics.checkpoints > 10, "{statistics:?}");
    assert_eq!(store.records(declared::INBOX).len(), 400);
    store.store.close().unwrap();
}

/// A small file system of its own; `None` where that is not allowed.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        mount(at, "size=6m").then_some(Self(at))
    }

    /// Not below what is in use: another test may be starting a process, which has a copy of every open file until it
    /// runs.
    fn resize(&self, kib: usize) {
        let options = format!("remount,size={kib}k");
        assert!((0..1000).any(|_| mount(self.0, &options)), "{kib} KiB");
    }
}

fn mount(at: &Path, options: &str) -> bool {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
    mounted.is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_is_a_typed_failure_and_loses_nothing() {
    let folder = folder();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("skipped, needs root");
        return;
    };
    let data = folder.path().join("store");
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let (store, _) = TestStore::open(&data, config());
    let mut durable = Vec::new();
    let failure = loop {
        let value = vec![durable.len() as u8; 20_000];
        // Either half may be the one that finds the disk full.
        let Ok(permit) = block_on(store.store.reserve(Class::Turn { growth: 0 }, 0)) else {
            break store.store.failure().unwrap();
        };
        let (ticket, position) =
            store.store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(0), value.into()));
        if !store.wait_durable(ticket) {
            break store.store.failure().unwrap();
        }
        durable.push(declared::inbox(Partition(0), position));
    };
    assert!(matches!(failure, CommitError::DiskFull { .. }), "{failure}");
    assert!(durable.len() > 20);
    assert!(matches!(
        store.store.try_reserve(Class::Outside, 1),
        Err(AdmissionError::Failed(CommitError::DiskFull { .. }))
    ));
    assert!(store.store.close().is_err());
    drop(store);

    std::fs::remove_file(&ballast).unwrap();
    let (store, opened) = TestStore::open(&data, config());
    assert!(!opened.clean);
    let found = store.store.records(&durable).unwrap();
    assert!(found.iter().enumerate().all(|(number, value)| value.as_deref() == Some(&vec![number as u8; 20_000][..])));
    store.enqueue(0, "goes on");
    store.settle();
}

#[test]
fn a_disk_without_headroom_refuses_outside_work_until_there_is_some() {
    let folder = folder();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("skipped, needs root");
        return;
    };
    let config = Config { disk_headroom_bytes: 2 << 20, ..config() };
    let (store, _) = TestStore::open(&folder.path().join("store"), config);
    drop(store.store.try_reserve(Class::Outside, 1).unwrap());
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    // The number is refreshed now and then, not by every submission.
    for _ in 0..500 {
        store.enqueue(0, "x");
        store.settle();
        if store.store.try_reserve(Class::Outside, 1).is_err() {
            break;
        }
    }
    let refused = store.store.try_reserve(Class::Outside, 1);
    assert!(matches!(refused, Err(AdmissionError::DiskFull { headroom: 2_097_152, .. })), "{refused:?}");
    drop(store.store.try_reserve(Class::Turn { growth: 1 }, 1).unwrap());
    std::fs::remove_file(&ballast).unwrap();
    // Another test may be starting a process, which has a copy of every open file, the ballast too, until it runs.
    let admitted = (0..1_000_000).any(|_| {
        std::thread::yield_now();
        store.store.try_reserve(Class::Outside, 1).is_ok()
    });
    assert!(admitted);
}

/// It killed the process with a signal: LMDB makes the file of its readers longer than the disk has room for, and then
/// writes to it through a map.
#[test]
fn a_store_is_made_on_a_disk_of_any_size_or_refused_by_name() {
    const CHILD: &str = "EVERPOST_TEST_MAKE";
    if let Some(folder) = std::env::var_os(CHILD) {
        let made = Store::open(folder.as_ref(), config(), declared::SCHEMA, || ()).and_then(|(store, _)| {
            Slots::open(folder.as_ref())?;
            Ok(store.close()?)
        });
        let full = |error: &OpenError| {
            let error = error.to_string();
            error.contains("No space left") || error.contains("the disk is full")
        };
        assert!(made.as_ref().is_err_and(full) || made.is_ok(), "{made:?}");
        std::io::stdout().write_all(if made.is_ok() { b"made" } else { b"refused" }).unwrap();
        return;
    }
    let folder = folder();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("skipped, needs root");
        return;
    };
    let (mut made, mut refused) = (0, 0);
    for kib in (8..400).step_by(8) {
        disk.resize(kib);
        let data = folder.path().join("store");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "full::a_store_is_made_on_a_disk_of_any_size_or_refused_by_name", "--nocapture"])
            .env(CHILD, &data)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success(),
            "{kib} KiB: {}\n{said}{}",
            child.status,
            String::from_utf8_lossy(&child.stderr)
        );
        made += usize::from(said.contains("made"));
        refused += usize::from(said.contains("refused"));
        // Whatever was left half-made is made again when there is room.
        disk.resize(6 << 10);
        let (store, opened) = TestStore::open(&data, config());
        assert_eq!(opened.durable, Position(0));
        store.enqueue(0, "works");
        store.settle();
        store.store.close().unwrap();
        drop(store);
        std::fs::remove_dir_all(&data).unwrap();
    }
    assert!(made > 5 && refused > 5, "{made} made, {refused} refused");
}
