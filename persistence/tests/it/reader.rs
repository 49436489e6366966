//! A second process that reads while the first one writes, and one that is killed while it reads.

use std::io::{BufRead, BufReader, Lines, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use bytes::Bytes;
use everpost_persistence::{Class, Config, Key, OpenError, Partition, Range, Reader, Store, View};

use crate::declared;
use crate::support::{TestStore, config, files, folder};

const CHILD: &str = "EVERPOST_TEST_READER";
const MODE: &str = "EVERPOST_TEST_READER_MODE";
/// How many records are overwritten, one after another.
const RING: u32 = 50;
/// How many records wait.
const WAITING: u32 = 30;
/// What the files may have together: far more than what is in them, far less than what is written.
const FILES_BYTES_MAX: u64 = 24 << 20;
/// How many turns are written in a part of the test: some 20 MB.
const TURNS: u32 = 5000;

/// Little is held in memory, so that the journal stays short whatever the threads are given of the processor.
fn settings() -> Config {
    let (checkpoint_bytes, group_bytes_max, overlay_bytes_max) = (100_000, 200_000, 400_000);
    Config { checkpoint_bytes, group_bytes_max, overlay_bytes_max, reserve_disk_bytes: 0, ..config() }
}

/// The value that the turn with this number writes; now and then one that is cut into chunks.
fn value(number: u32) -> Bytes {
    let long = if number.is_multiple_of(10) { 9000 } else { 0 };
    let filling = long + 2000 + number as usize % 500;
    [&number.to_be_bytes()[..], &vec![number as u8; filling]].concat().into()
}

fn number(value: &[u8]) -> u32 {
    let number = u32::from_be_bytes(value[..4].try_into().unwrap());
    assert_eq!(value, &super::reader::value(number)[..], "whole, and of one turn");
    number
}

/// Writes turns that each overwrite the newest number and a record of the ring, enqueue a record and delete an old one.
struct Writer {
    store: TestStore,
    waiting: std::collections::VecDeque<Key>,
    next: u32,
}

impl Writer {
    fn write(&mut self, turns: u32) {
        for number in self.next..self.next + turns {
            let permit = self.store.reserve(Class::Turn { growth: 0 }, 0);
            let waiting = &mut self.waiting;
            self.store.store.submit(permit, |stage| {
                stage.put(declared::note(0), Bytes::copy_from_slice(&number.to_be_bytes()));
                stage.put(declared::note(1 + number % RING), value(number));
                let position = stage.enqueue(&declared::INBOX, Partition(1), value(number));
                waiting.push_back(declared::inbox(Partition(1), position));
                if waiting.len() > WAITING as usize {
                    stage.delete(waiting.pop_front().unwrap());
                }
            });
        }
        self.next += turns;
        self.store.settle();
    }
}

/// Checks that a view is exactly what some turn has left; which one.
fn check(view: &View<'_>) -> u32 {
    let Some(last) = view.get(&declared::note(0)).unwrap() else { return 0 };
    let last = u32::from_be_bytes(last[..].try_into().unwrap());
    let mut ring = Vec::new();
    view.scan(&declared::NOTES, |key, value| {
        if key.fields().u32() > 0 {
            ring.push(number(value));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    ring.sort_unstable();
    assert_eq!(ring, (last.saturating_sub(RING - 1).max(1)..=last).collect::<Vec<_>>(), "the ring after turn {last}");
    let (mut queue, mut rest) = (Vec::new(), Some(Range::of(&declared::INBOX).within(Partition(1)).backwards()));
    while let Some(range) = rest {
        let step = view.range(&range, 7, usize::MAX).unwrap();
        queue.extend(step.records.iter().map(|(_, value)| number(value)));
        rest = step.rest;
    }
    queue.reverse();
    assert_eq!(queue, (last.saturating_sub(WAITING - 1).max(1)..=last).collect::<Vec<_>>(), "the queue after {last}");
    last
}

/// What the second process does.
fn child(folder: &Path, mode: &str) {
    let mut stdout = std::io::stdout();
    let mut say = |text: &str| writeln!(stdout, "{text}").unwrap();
    let mut reader = Reader::open(folder, declared::SCHEMA).unwrap();
    let mut before = 0;
    loop {
        let view = reader.view().unwrap();
        let seen = check(&view);
        assert!(seen >= before, "it goes forward: {before}, {seen}");
        before = seen;
        say(&format!("seen {seen}"));
        if mode == "hold" {
            say("holding");
            // Until it is killed.
            std::io::stdin().lines().for_each(drop);
        }
    }
}

/// A second process, and what it says.
struct Second {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Second {
    fn start(folder: &Path, mode: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "reader::a_process_reads_beside_the_one_that_writes_and_makes_nothing_grow",
                "--nocapture",
            ])
            .env(CHILD, folder)
            .env(MODE, mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it has seen a turn from this one on.
    fn wait_seen(&mut self, number: u32) {
        let seen = |line: &str| line.strip_prefix("seen ").and_then(|seen| seen.parse().ok());
        let mut lines = self.lines.by_ref().map(|line| line.expect("it says something"));
        assert!(lines.any(|line| seen(&line).is_some_and(|seen: u32| seen >= number)), "it ended before");
    }

    fn wait_for(&mut self, text: &str) {
        assert!(self.lines.by_ref().any(|line| line.unwrap() == text), "it ended before it said {text}");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn file_bytes(folder: &Path) -> u64 {
    ["journal", "tables"].map(|half| std::fs::metadata(folder.join(half).join("data.mdb")).unwrap().len()).iter().sum()
}

#[test]
fn a_process_reads_beside_the_one_that_writes_and_makes_nothing_grow() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(folder.as_ref(), &std::env::var(MODE).unwrap());
    }
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), settings());
    let mut writer = Writer { store, waiting: std::collections::VecDeque::new(), next: 1 };
    writer.write(TURNS);
    let alone = file_bytes(folder.path());
    assert!(alone < FILES_BYTES_MAX, "{alone} without a reader");

    let mut second = Second::start(folder.path(), "read");
    second.wait_seen(1);
    for _ in 0..25 {
        // What is written during one look cannot take the place of what that sees; it is not much.
        writer.write(TURNS / 25);
        // What was durable before it looked is seen.
        second.wait_seen(writer.next - 1);
    }
    let beside = file_bytes(folder.path());
    assert!(beside < FILES_BYTES_MAX, "{beside} beside a reader, {alone} without");
    second.kill();

    // Killed with a view in its hand, which nobody gives back but whoever notices that it is gone.
    for _ in 0..3 {
        let mut second = Second::start(folder.path(), "hold");
        second.wait_for("holding");
        second.kill();
        writer.write(TURNS);
    }
    let after = file_bytes(folder.path());
    assert!(after < FILES_BYTES_MAX, "{after} after readers were killed, {alone} without");

    // A store that nobody has open is read as well, and can be opened beside that.
    writer.store.store.close().unwrap();
    drop(writer.store);
    let mut second = Second::start(folder.path(), "read");
    second.wait_seen(writer.next - 1);
    let (store, opened) = TestStore::open(folder.path(), settings());
    assert!(opened.clean);
    let mut writer = Writer { store, waiting: writer.waiting, next: writer.next };
    writer.write(10);
    second.wait_seen(writer.next - 1);
    second.kill();
    writer.store.store.close().unwrap();
}

#[test]
fn a_store_that_nobody_has_open_is_read_with_its_tail_and_not_changed() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let mut writer = Writer { store, waiting: std::collections::VecDeque::new(), next: 1 };
    writer.write(60);
    let refused = Reader::open(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "this process has it open: {refused:?}");
    // As a crash leaves it: everything is in the journal alone.
    drop(writer);
    let data = |folder: &Path| -> Vec<_> {
        files(folder).into_iter().filter(|(path, _)| !path.ends_with("lock.mdb")).collect()
    };
    let before = data(folder.path());
    let mut reader = Reader::open(folder.path(), declared::SCHEMA).unwrap();
    for _ in 0..2 {
        let view = reader.view().unwrap();
        assert_eq!(check(&view), 60);
        assert_eq!((view.group().0 > 0, view.durable().0), (true, 60 * 2 + 1));
    }
    drop(reader);
    assert!(data(folder.path()) == before);
    let (store, opened) = TestStore::open(folder.path(), config());
    assert_eq!((opened.clean, opened.durable.0), (false, 121));
    drop(store);
}

#[test]
fn what_is_no_store_is_not_made_into_one() {
    let folder = folder();
    let nowhere = folder.path().join("nowhere");
    let refused = Reader::open(&nowhere, declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::NoStore { .. })) && !nowhere.exists(), "{refused:?}");
    let refused = Reader::open(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::NoStore { .. })) && files(folder.path()).is_empty(), "{refused:?}");
    Store::open(folder.path(), config(), declared::SCHEMA, || ()).unwrap().0.close().unwrap();
    let mut reader = Reader::open(folder.path(), declared::SCHEMA).unwrap();
    assert_eq!(reader.view().unwrap().durable().0, 0);
}

/// How many locks this process has on LMDB's files of readers, as the kernel has them.
fn locks(folder: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let inodes: Vec<String> = ["journal", "tables"]
        .map(|half| std::fs::metadata(folder.join(half).join("lock.mdb")).unwrap().ino())
        .map(|inode| format!(":{inode} "))
        .into();
    let own = format!(" {} ", std::process::id());
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let is_own = |line: &&str| line.contains("POSIX") && line.contains(&own);
    locks.lines().filter(is_own).filter(|line| inodes.iter().any(|inode| line.contains(inode))).count()
}

/// It took LMDB's locks away from the store that was open, so that others took it for gone.
#[test]
fn a_reader_that_is_refused_takes_nothing_from_the_store_in_its_process() {
    let folder = folder();
    let (store, _) = TestStore::open(folder.path(), config());
    let before = locks(folder.path());
    if before == 0 {
        eprintln!("skipped: the system does not tell of locks");
    }
    let refused = Reader::open(folder.path(), declared::SCHEMA);
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    assert_eq!(locks(folder.path()), before);
    drop(store);
    // The same the other way round: the store is refused by LMDB, which one process opens once.
    let reader = Reader::open(folder.path(), declared::SCHEMA).unwrap();
    let before = locks(folder.path());
    let refused = TestStore::try_open(folder.path(), config());
    assert!(matches!(refused, Err(OpenError::InUse { .. })), "{refused:?}");
    assert_eq!(locks(folder.path()), before);
    drop(reader);
    drop(TestStore::open(folder.path(), config()));
}
