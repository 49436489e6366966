//! Reads of what was submitted, wherever the writer is with it.

use std::sync::{Condvar, Mutex as StdMutex};

use super::*;

/// Lets the writer go on after a group, so many times.
#[derive(Default)]
struct Gate {
    passes: StdMutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let passes = self.changed.wait_while(self.passes.lock().unwrap(), |passes| *passes == 0);
        *passes.unwrap() -= 1;
    }

    fn allow(&self, passes: usize) {
        *self.passes.lock().unwrap() = passes;
        self.changed.notify_all();
    }
}

/// A store whose writer stops after each group, two submissions at most, until it is let go.
struct Stopped {
    store: Store,
    gate: Arc<Gate>,
    stopped: mpsc::Receiver<()>,
    caller: Caller,
    /// What everything that was submitted amounts to.
    submitted: Oracle,
    /// What is durable, by ticket.
    durable: Vec<(Position, Oracle)>,
    is_stopped: bool,
}

impl Stopped {
    fn open(folder: &Path) -> Self {
        let (tell, stopped) = mpsc::channel();
        let gate = Arc::new(Gate::default());
        let config = Config { group_turns_max: 2, ..config() };
        let (store, _) = Store::open(folder, config, declared::SCHEMA, {
            let gate = Arc::clone(&gate);
            move || {
                let _ = tell.send(());
                gate.pass();
            }
        })
        .unwrap();
        let durable = vec![(Position(0), Oracle::default())];
        let (caller, submitted) = (Caller::default(), Oracle::default());
        Self { store, gate, stopped, caller, submitted, durable, is_stopped: false }
    }

    fn submit(&mut self, steps: &[Step]) {
        let permit = self.store.try_reserve(Class::Turn { growth: 0 }, 0).unwrap();
        let (caller, oracle) = (&mut self.caller, &mut self.submitted);
        let (ticket, ()) = self.store.submit(permit, |stage| stage_all(stage, steps, caller, oracle));
        self.durable.push((ticket, self.submitted.clone()));
        self.wait_until_it_stops();
    }

    /// Lets the writer write another group.
    fn go_on(&mut self) {
        if std::mem::take(&mut self.is_stopped) {
            self.gate.allow(1);
            self.wait_until_it_stops();
        }
    }

    fn wait_until_it_stops(&mut self) {
        let is_all_durable = self.durable.last().is_some_and(|(ticket, _)| self.store.durable() == *ticket);
        if !self.is_stopped && !is_all_durable {
            self.stopped.recv_timeout(Duration::from_secs(60)).unwrap();
            self.is_stopped = true;
        }
    }

    fn check(&self) {
        let durable = self.store.durable();
        let (_, on_disk) = self.durable.iter().rev().find(|(ticket, _)| *ticket <= durable).unwrap();
        let queued = self.caller.queued.iter().flat_map(|&key| [key, attempts(key)]);
        let all: Vec<Key> =
            queued.chain(self.submitted.records.keys().copied()).chain(on_disk.records.keys().copied()).collect();
        for key in all {
            let newest = self.store.newest(&key).unwrap();
            assert_eq!(newest.value.as_ref(), self.submitted.records.get(&key), "{key:?} as submitted");
            assert_eq!(self.store.get(&key).unwrap().as_ref(), on_disk.records.get(&key), "{key:?} as durable");
            match newest.ticket {
                Some(ticket) => assert!(ticket > durable && self.durable.iter().any(|(known, _)| *known == ticket)),
                None => assert_eq!(newest.value.as_ref(), on_disk.records.get(&key)),
            }
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.gate.allow(usize::MAX);
    }
}

#[derive(Debug, Clone)]
enum What {
    Submit(Vec<Step>),
    GoOn,
    /// Asks for some record, so that what is looked at is looked at in parts.
    Ask,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_submission_is_seen_wherever_it_is(
        whats in prop::collection::vec(prop_oneof![
            4 => any_turn().prop_map(What::Submit),
            2 => Just(What::GoOn),
            1 => Just(What::Ask),
        ], 1..30),
        is_checked in prop::collection::vec(any::<bool>(), 30),
    ) {
        let folder = folder();
        let mut stopped = Stopped::open(folder.path());
        for (what, is_checked) in whats.iter().zip(is_checked) {
            match what {
                What::Submit(steps) => stopped.submit(steps),
                What::GoOn => stopped.go_on(),
                What::Ask => drop(stopped.store.newest(&declared::note(1)).unwrap()),
            }
            if is_checked {
                stopped.check();
            }
        }
        stopped.check();
    }
}

#[test]
fn a_thread_always_sees_its_own_submissions() {
    let folder = folder();
    let run = Run::open(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..3_u32 {
            let store = &run.store;
            scope.spawn(move || {
                let key = declared::note(thread);
                for number in 0..2000_u32 {
                    let permit = store.try_reserve(Class::Turn { growth: 0 }, 4);
                    let Ok(permit) = permit else { continue };
                    let value = Bytes::copy_from_slice(&number.to_be_bytes());
                    let is_deleted = number % 7 == 0;
                    let (ticket, ()) = store.submit(permit, |stage| match is_deleted {
                        true => stage.delete(key),
                        false => stage.put(key, value.clone()),
                    });
                    let newest = store.newest(&key).unwrap();
                    assert_eq!(newest.value, (!is_deleted).then_some(value), "{number}");
                    assert!(newest.ticket.is_none_or(|of| of == ticket));
                }
            });
        }
    });
    run.store.close().unwrap();
}

#[test]
fn what_was_never_durable_is_not_seen_after_a_failure() {
    let folder = folder();
    let mut stopped = Stopped::open(folder.path());
    let put = |number: u128| vec![Step::Put { table: declared::NOTES, name: number, value: 3 }];
    stopped.submit(&put(1));
    stopped.submit(&put(2));
    let key = declared::note(2);
    assert!(stopped.store.newest(&key).unwrap().ticket.is_some());
    stopped.store.inner.shared.fail(CommitError::Panicked { thread: "writer" });
    stopped.gate.allow(usize::MAX);
    let _ = stopped.store.close();
    assert!(matches!(stopped.store.newest(&key), Err(ReadError::Closed)));
}
