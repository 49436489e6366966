//! What every log does, held against both.

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::memory::{FailedFlush, Faults, Medium, MemoryLog};
use super::*;
use crate::batch::{Batch, Change, Encoder};
use crate::declared;
use crate::ids::{Epoch, Group, Position, ShardId};
use crate::meta::{Applied, Cut, Identity};

const MAP_BYTES: u64 = 32 << 20;

/// A kind of log, and a way to open it again after its process is gone.
trait Kind {
    type Log: Log;

    fn open(&mut self, run: u64) -> Self::Log;
    fn crash(&mut self, log: Self::Log);
}

struct Journals(tempfile::TempDir);

impl Journals {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let identity = Identity { store: ShardId(1), partitions: 4 };
        Journal::make(&path(folder.path()), MAP_BYTES, declared::SCHEMA, identity).unwrap();
        Self(folder)
    }
}

fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("journal")
}

impl Kind for Journals {
    type Log = Journal;

    fn open(&mut self, run: u64) -> Journal {
        let mut journal = Journal::open(&path(self.0.path()), MAP_BYTES, declared::SCHEMA).unwrap();
        // As if the tables had all that was cut off.
        let Cut { group, chain } = journal.cut().unwrap();
        journal.verify(Applied { group, position: Position(0), chain }).unwrap();
        journal.start_run(ShardId(1), Epoch { counter: run, nonce: run }).unwrap();
        journal
    }

    fn crash(&mut self, log: Journal) {
        log.close();
    }
}

impl Kind for Medium {
    type Log = MemoryLog;

    fn open(&mut self, run: u64) -> MemoryLog {
        Self::open(self, ShardId(1), run)
    }

    fn crash(&mut self, log: MemoryLog) {
        drop(log);
    }
}

/// The next group of a log, with a value of so many bytes.
fn append<L: Log>(log: &mut L, bytes: usize) -> Result<Group, crate::error::CommitError> {
    let group = log.next();
    let mut buffer = vec![0; L::HEADROOM];
    let position = Position(group.0);
    let mut encoder = Encoder::begin(&mut buffer, log.shard(), group, position, position, log.origin());
    encoder.push(&Change { key: declared::note(group.0 as u32), value: Some(Bytes::from(vec![group.0 as u8; bytes])) });
    encoder.finish();
    log.append(group, &mut buffer).map(|()| group)
}

/// The groups from there on, each checked for what it is and follows on.
fn read(log: &impl Log, from: Group) -> Vec<(Group, usize)> {
    let (mut found, mut before) = (Vec::new(), None);
    log.read(from, |entry| {
        let batch = Batch::decode(&entry.batch, &declared::SCHEMA).unwrap();
        assert_eq!(batch.group, entry.group);
        let origin = batch.origin.unwrap();
        assert!(before.is_none_or(|before| before == origin.before), "each follows on the one before");
        before = Some(entry.chain);
        let [Change { key, value: Some(value) }] = &batch.changes[..] else { panic!("{batch:?}") };
        assert_eq!(*key, declared::note(entry.group.0 as u32));
        assert!(value.iter().all(|&byte| byte == entry.group.0 as u8));
        found.push((entry.group, value.len()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(found.is_empty() || before.is_some_and(|last| log.last() > log.flushed() || last == log.origin().before));
    found
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Flush,
    CutFront(usize),
    Trim,
    CutBack(usize),
    Crash,
    Finish,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0..100_usize, 60_000..140_000_usize].prop_map(Step::Append),
        4 => Just(Step::Flush),
        1 => (0..6_usize).prop_map(Step::CutFront),
        1 => Just(Step::Trim),
        1 => (0..4_usize).prop_map(Step::CutBack),
        1 => Just(Step::Crash),
        1 => Just(Step::Finish),
    ]
}

/// What a log holds, by the book.
#[derive(Default)]
struct Model {
    /// Lengths of the groups from the first on.
    groups: Vec<usize>,
    /// Up to which group they may be gone.
    needless: u64,
}

fn conforms<K: Kind>(mut kind: K, steps: &[Step]) {
    let (mut run, mut model) = (1, Model::default());
    let mut log = kind.open(run);
    let mut first = 1;
    for step in steps {
        match *step {
            Step::Append(bytes) => {
                let group = append(&mut log, bytes).unwrap();
                model.groups.push(bytes);
                assert_eq!((group, log.last()), (Group(model.groups.len() as u64), group));
            }
            Step::Flush => {
                log.flush().unwrap();
                assert_eq!(log.flushed(), log.last());
            }
            Step::CutFront(back) => {
                model.needless = model.needless.max(log.flushed().0.saturating_sub(back as u64));
                log.cut_front(Group(model.needless));
            }
            Step::Trim => drop(log.trim().unwrap()),
            Step::CutBack(back) => {
                let from = (model.groups.len() as u64 + 1).saturating_sub(back as u64).max(model.needless + 1);
                log.cut_back(Group(from)).unwrap();
                model.groups.truncate(from as usize - 1);
                assert!(log.last().0 < from && log.flushed() <= log.last());
            }
            Step::Crash => {
                let flushed = log.flushed();
                kind.crash(log);
                run += 1;
                log = kind.open(run);
                assert!(
                    log.flushed() == flushed && log.last() == flushed,
                    "what was flushed is there, and nothing else"
                );
                model.groups.truncate(flushed.0 as usize);
                log.cut_front(Group(model.needless));
            }
            Step::Finish => {
                log.flush().unwrap();
                log.finish().unwrap();
                model.needless = log.last().0;
                assert_eq!(read(&log, log.next()), []);
                first = log.next().0;
            }
        }
        // What nobody needs may be there or not; all others are, up to what is flushed.
        first = first.max(model.needless + 1);
        let flushed = (first..).zip(model.groups.iter().skip(first as usize - 1).copied());
        let expected: Vec<_> =
            flushed.map(|(group, bytes)| (Group(group), bytes)).filter(|(group, _)| *group <= log.flushed()).collect();
        assert_eq!(read(&log, Group(first)), expected, "{step:?}");
        assert!(log.flushed() <= log.last());
    }
    kind.crash(log);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_is_a_log(steps in prop::collection::vec(any_step(), 1..40)) {
        conforms(Journals::new(), &steps);
    }

    #[test]
    fn the_log_in_memory_is_a_log(steps in prop::collection::vec(any_step(), 1..40)) {
        conforms(Medium::default(), &steps);
    }
}

/// Without this the tests that use it would show nothing.
#[test]
fn the_log_in_memory_fails_tears_and_loses_as_told() {
    for (how, left) in [(FailedFlush::Nothing, 2), (FailedFlush::Torn, 2), (FailedFlush::Everything, 3)] {
        let medium = Medium::default();
        let mut log = medium.open(ShardId(1), 1);
        medium.set_faults(Faults { append: Some(Group(2)), flush: Some((Group(3), how)) });
        append(&mut log, 10).unwrap();
        append(&mut log, 10).unwrap_err();
        append(&mut log, 10).unwrap();
        append(&mut log, 10).unwrap();
        assert_eq!(log.flushed(), Group(0));
        log.flush().unwrap_err();
        drop(log);
        let log = medium.open(ShardId(1), 2);
        let groups: Vec<Group> = read(&log, Group(1)).into_iter().map(|(group, _)| group).collect();
        assert_eq!(groups, (1..=left).map(Group).collect::<Vec<_>>(), "{how:?}");
        assert_eq!((log.last(), log.flushed()), (Group(left), Group(left)));
    }
}
