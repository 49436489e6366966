//! Reads against a map that saw every change, wherever commits, checkpoints and restarts fall; and a commit that
//! fails.

mod faults;
mod newest;
mod ranges;
mod reads;

use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::declared;
use crate::fold::Folded;
use crate::fold::tests::{Caller, Oracle, Step, any_turn, attempts, value};
use crate::ids::{Group, Partition};
use crate::record::VALUE_BYTES_MAX;
use crate::tables::Tables;

/// What happens between two looks. A checkpoint is taken apart, so that reads fall into each of its gaps.
#[derive(Debug, Clone)]
enum Action {
    Turn(Vec<Step>),
    Freeze,
    Apply,
    Thaw,
    Close,
    Crash,
}

struct Run {
    store: Store,
    progress: mpsc::Receiver<()>,
    frozen: Option<Arc<Folded>>,
    applied: bool,
}

fn config() -> Config {
    let map = 1 << 26;
    Config {
        journal_map_bytes: map,
        tables_map_bytes: map,
        checkpoint_age: Duration::from_secs(3600),
        disk_headroom_bytes: 0,
        ..Config::default()
    }
}

/// In memory where the system has such a place; a commit is two syncs.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Run {
    fn open(folder: &Path) -> Self {
        let (send, progress) = mpsc::sync_channel(1);
        let (store, _) = Store::open(folder, config(), declared::SCHEMA, move || {
            let _ = send.try_send(());
        })
        .unwrap();
        Self { store, progress, frozen: None, applied: false }
    }

    fn settle(&self, ticket: Position) {
        while self.store.durable() < ticket {
            self.progress.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }

    fn turn(&self, steps: &[Step], caller: &mut Caller, oracle: &mut Oracle) {
        let permit = self.store.try_reserve(Class::Turn { growth: 0 }, 0).unwrap();
        let (ticket, ()) = self.store.submit(permit, |stage| stage_all(stage, steps, caller, oracle));
        self.settle(ticket);
    }

    fn tables(&self) -> Tables {
        self.store.inner.shared.overlay.read().tables().unwrap().clone()
    }

    fn freeze(&mut self) {
        if self.frozen.is_none() {
            self.frozen = self.store.inner.shared.overlay.freeze();
            self.applied = false;
        }
    }

    fn apply(&mut self) {
        if let Some(frozen) = &self.frozen
            && !self.applied
        {
            self.tables().apply(frozen, &mut Scrub::new(declared::SCHEMA, 1)).unwrap();
            self.applied = true;
        }
    }

    fn thaw(&mut self) {
        if self.applied && self.frozen.take().is_some() {
            self.store.inner.shared.overlay.thaw();
        }
    }

    fn check(&self, caller: &Caller, oracle: &Oracle) {
        let mut scanned = Vec::new();
        for table in declared::SCHEMA.tables() {
            let visit = |key: &Key, value: &[u8]| {
                scanned.push((*key, Bytes::copy_from_slice(value)));
                ControlFlow::Continue(())
            };
            self.store.scan(table, visit).unwrap();
        }
        let expected: Vec<(Key, Bytes)> = oracle.records.iter().map(|(key, value)| (*key, value.clone())).collect();
        assert_eq!(scanned, expected);
        for (key, value) in expected {
            assert_eq!(self.store.get(&key).unwrap(), Some(value), "{key:?}");
        }
        for &key in &caller.queued {
            let attempts = attempts(key);
            assert_eq!(self.store.get(&attempts).unwrap().as_ref(), oracle.records.get(&attempts), "{attempts:?}");
        }
        // Every record that ever was, those of the inbox and the outbox among each other.
        let found = self.store.records(&caller.queued).unwrap();
        let expected: Vec<_> = caller.queued.iter().map(|key| oracle.records.get(key).cloned()).collect();
        assert_eq!(found, expected, "{:?}", caller.queued);
        let found = block_on(self.store.read_all(caller.queued.clone())).unwrap();
        assert_eq!(found, expected, "{:?}", caller.queued);
    }
}

/// Stages what a caller does, and notes what it amounts to.
fn stage_all(stage: &mut Stage<'_>, steps: &[Step], caller: &mut Caller, oracle: &mut Oracle) {
    for step in steps {
        let (table, partition, byte) = match *step {
            Step::Enqueue { partition, value } => (declared::INBOX, partition, value),
            Step::Dispatch { partition, value } => (declared::OUTBOX, partition, value),
            _ => {
                let Some(change) = caller.change(step) else { continue };
                oracle.apply(&change);
                match change.value {
                    Some(value) => stage.put(change.key, value),
                    None => stage.delete(change.key),
                }
                continue;
            }
        };
        let position = stage.enqueue(&table, Partition(partition), value(byte));
        let key = Key::queued(table.id(), Partition(partition), position);
        caller.queued.push(key);
        oracle.records.insert(key, value(byte));
    }
}

/// Looks at the store between two runs.
fn inspect(folder: &Path, oracle: &Oracle) {
    let inspection = Store::inspect(folder, declared::SCHEMA).unwrap();
    let mut scanned = Vec::new();
    for table in declared::SCHEMA.tables() {
        let visit = |key: &Key, value: &[u8]| {
            scanned.push((*key, Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        };
        inspection.scan(table, visit).unwrap();
    }
    let expected: Vec<(Key, Bytes)> = oracle.records.iter().map(|(key, value)| (*key, value.clone())).collect();
    assert_eq!(scanned, expected);
    for (key, value) in expected {
        assert_eq!(inspection.get(&key).unwrap(), Some(value), "{key:?}");
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => any_turn().prop_map(Action::Turn),
        2 => Just(Action::Freeze),
        2 => Just(Action::Apply),
        2 => Just(Action::Thaw),
        1 => Just(Action::Close),
        1 => Just(Action::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn reads_see_what_was_written(actions in prop::collection::vec(any_action(), 1..25)) {
        let folder = folder();
        let (mut caller, mut oracle) = (Caller::default(), Oracle::default());
        let mut run = Run::open(folder.path());
        for action in &actions {
            match action {
                Action::Turn(steps) => run.turn(steps, &mut caller, &mut oracle),
                Action::Freeze => run.freeze(),
                Action::Apply => run.apply(),
                Action::Thaw => run.thaw(),
                Action::Close => {
                    // The last checkpoint is the store's own.
                    run.apply();
                    run.thaw();
                    run.store.close().unwrap();
                    drop(run);
                    inspect(folder.path(), &oracle);
                    run = Run::open(folder.path());
                    let large = oracle.records.values().map(|value| value.len().div_ceil(VALUE_BYTES_MAX));
                    let chunks: usize = large.filter(|&chunks| chunks > 1).sum();
                    prop_assert_eq!(run.tables().chunks(), chunks as u64, "those of the values, and no other");
                }
                Action::Crash => {
                    drop(run);
                    inspect(folder.path(), &oracle);
                    run = Run::open(folder.path());
                }
            }
            run.check(&caller, &oracle);
        }
    }
}

#[test]
fn after_a_failed_commit_nothing_is_durable_and_everyone_is_told() {
    let temporary = folder();
    let (send, progress) = mpsc::channel();
    let folder = Folder::lock(temporary.path()).unwrap();
    let mut recovered = recover(&folder, &config(), declared::SCHEMA).unwrap();
    recovered.log.fail_commit_of = Some(Group(3));
    let (store, _) = Store::start(
        folder,
        recovered,
        &config(),
        declared::SCHEMA,
        Box::new(move || {
            let _ = send.send(());
        }),
    )
    .unwrap();
    let enqueue = |value: &'static [u8]| {
        let permit = store.try_reserve(Class::Outside, 1).unwrap();
        store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(0), Bytes::from_static(value)))
    };
    for value in [&b"a"[..], b"b"] {
        let (ticket, _) = enqueue(value);
        progress.recv().unwrap();
        assert_eq!(store.durable(), ticket);
    }
    let durable = store.durable();
    let held = store.try_reserve(Class::Outside, 1).unwrap();
    let (ticket, lost) = enqueue(b"c");
    progress.recv().unwrap();
    assert!(matches!(store.failure(), Some(CommitError::Io { which: Environment::Journal, .. })));
    assert_eq!(store.durable(), durable);
    assert!(ticket > durable);
    assert!(matches!(store.try_reserve(Class::Outside, 1), Err(AdmissionError::Failed(_))));
    let (later, ()) = store.submit(held, |_| ());
    assert!(later > ticket, "a permit is honoured, without effect");
    assert_eq!(store.get(&declared::inbox(Partition(0), lost)).unwrap(), None, "reads still work");
    assert!(store.close().is_err());
    assert!(store.close().is_err());

    let (store, opened) = Store::open(temporary.path(), config(), declared::SCHEMA, || ()).unwrap();
    assert!(!opened.clean);
    assert_eq!(opened.durable, durable);
    let keys = [Position(1), Position(3), lost].map(|position| declared::inbox(Partition(0), position));
    assert_eq!(store.records(&keys).unwrap(), [Some("a".into()), Some("b".into()), None]);
}

#[test]
fn a_panic_in_on_progress_stops_the_store() {
    let folder = folder();
    let (store, _) =
        Store::open(folder.path(), config(), declared::SCHEMA, || panic!("a defect of the caller")).unwrap();
    let permit = store.try_reserve(Class::Outside, 1).unwrap();
    let (ticket, _) =
        store.submit(permit, |stage| stage.enqueue(&declared::INBOX, Partition(0), Bytes::from_static(b"x")));
    assert!(matches!(store.close(), Err(CommitError::Panicked { thread: "writer" })));
    assert_eq!(store.durable(), ticket, "it was durable when the panic came");
    drop(store);
    let (store, _) = Store::open(folder.path(), config(), declared::SCHEMA, || ()).unwrap();
    let key = declared::inbox(Partition(0), Position(1));
    assert_eq!(store.get(&key).unwrap(), Some(Bytes::from_static(b"x")));
}
