//! A store over a log that fails, tears and loses: what was reported durable is there, and what is there is a prefix.

use super::*;
use crate::log::Log;
use crate::log::memory::{FailedFlush, Faults, Medium};
use crate::opening::Recovered;

/// Opens the store in the folder with its log in memory. The tables stay as they were made, so the log has everything.
fn open(temporary: &Path, medium: &Medium, run: u64) -> (Store, mpsc::Receiver<()>) {
    let folder = Folder::lock(temporary).unwrap();
    // What was promised is promised of the log in memory, and kept by that.
    let (slots, aside) = (temporary.join("slots"), temporary.join("aside"));
    let is_promised = std::fs::rename(&slots, &aside).is_ok();
    let made = recover(&folder, &config(), declared::SCHEMA).unwrap();
    let Recovered { log: journal, journal_file, page_bytes, tables, identity, epoch, applied, opened, .. } = made;
    journal.close();
    if is_promised {
        std::fs::rename(&aside, &slots).unwrap();
    }
    let log = medium.open(identity.store, run);
    let replayed =
        crate::opening::replay(&folder, declared::SCHEMA, identity, &log, tables.applied().unwrap()).unwrap();
    let (tail, last) = (replayed.tail, replayed.last);
    let recovered = Recovered { log, journal_file, page_bytes, tables, identity, epoch, applied, tail, last, opened };
    let (tell, progress) = mpsc::channel();
    let on_progress = Box::new(move || {
        let _ = tell.send(());
    });
    let (store, _) = Store::start(folder, recovered, &config(), declared::SCHEMA, on_progress).unwrap();
    (store, progress)
}

/// Submits numbered records, each in a group of its own, until one does not become durable; how many did.
fn write_until_it_fails(store: &Store, progress: &mpsc::Receiver<()>, first: u32, most: u32) -> u32 {
    for number in first..first + most {
        let Ok(permit) = store.try_reserve(Class::Turn { growth: 0 }, 4) else { return number - first };
        let value = Bytes::copy_from_slice(&number.to_be_bytes());
        let (ticket, ()) = store.submit(permit, |stage| stage.put(declared::note(number), value));
        while store.durable() < ticket {
            if store.failure().is_some() {
                assert_eq!(store.get(&declared::note(number)).unwrap(), None, "what is not durable is not seen");
                return number - first;
            }
            progress.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
    most
}

fn numbers(store: &Store) -> Vec<u32> {
    let mut found = Vec::new();
    let visit = |key: &Key, value: &[u8]| {
        assert_eq!(key.fields().u32().to_be_bytes(), value);
        found.push(key.fields().u32());
        ControlFlow::Continue(())
    };
    store.scan(&declared::NOTES, visit).unwrap();
    found
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Append(u64),
    Flush(u64, FailedFlush),
    Nothing,
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let how = prop::sample::select(vec![FailedFlush::Nothing, FailedFlush::Torn, FailedFlush::Everything]);
    prop_oneof![
        (0..6_u64).prop_map(Fault::Append),
        (0..6_u64, how).prop_map(|(after, how)| Fault::Flush(after, how)),
        Just(Fault::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_reported_durable_survives_every_fault_of_the_log(faults in prop::collection::vec(any_fault(), 1..6)) {
        let (folder, medium) = (folder(), Medium::default());
        let mut durable = 0;
        for (run, fault) in (1..).zip(faults) {
            let (store, progress) = open(folder.path(), &medium, run);
            let found = numbers(&store);
            prop_assert_eq!(&found, &(0..found.len() as u32).collect::<Vec<_>>(), "a prefix");
            let found = found.len() as u32;
            // One more may be there, that nobody was told of.
            prop_assert!(found == durable || found == durable + 1, "{} of {}", found, durable);
            let next = medium.open(store.id(), run).next();
            let at = |after: u64| Group(next.0 + after);
            medium.set_faults(match fault {
                Fault::Append(after) => Faults { append: Some(at(after)), flush: None },
                Fault::Flush(after, how) => Faults { append: None, flush: Some((at(after), how)) },
                Fault::Nothing => Faults::default(),
            });
            let written = write_until_it_fails(&store, &progress, found, 6);
            prop_assert_eq!(written < 6, !matches!(fault, Fault::Nothing));
            prop_assert_eq!(store.failure().is_some(), written < 6);
            durable = found + written;
            drop(store);
        }
    }
}
