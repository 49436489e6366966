//! SIGKILL at any moment. It keeps the page cache, so it is a crash test, not a power test.
//!
//! A child process submits numbered records and prints what is durable; the parent kills it, opens the store, and
//! compares.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use everpost_persistence::{Class, Config, Key, Partition, Position};

use crate::declared;
use crate::support::{TestStore, config, folder};

const CHILD: &str = "EVERPOST_TEST_CRASH";
/// The child deletes a record when this many are waiting behind it.
const WAITING: u64 = 300;

#[test]
fn what_was_reported_durable_survives_a_kill_and_is_a_prefix() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(folder.as_ref());
    }
    let folder = folder();
    let (mut reported, mut replayed) = (0, 0);
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::what_was_reported_durable_survives_a_kill_and_is_a_prefix", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Reading an uneven number of reports makes the moments differ; the pipe holds a few more.
        let mut wanted = 3 + round * round * 7 % 101;
        for line in lines {
            let Some(durable) = line.unwrap().strip_prefix("durable ").and_then(|number| number.parse::<u64>().ok())
            else {
                continue;
            };
            assert!(durable > reported, "the watermark moves forward, over restarts too");
            reported = durable;
            wanted = wanted.saturating_sub(1);
            if wanted == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        replayed += verify(folder.path(), reported);
    }
    assert!(replayed > 0, "some kill left a tail to replay");
}

/// Submits for ever: each turn enqueues and dispatches a record that holds its own number, keeps that number in a
/// mailbox, and deletes an old record of each kind.
fn child(folder: &std::path::Path) {
    let (store, _) = TestStore::open(folder, settings());
    let mailbox = declared::mailbox(Partition(0), everpost_persistence::MailboxId(1));
    let number = |value: &[u8]| u64::from_be_bytes(value[..8].try_into().unwrap());
    let mut next = store.store.get(&mailbox).unwrap().map_or(0, |value| number(&value)) + 1;
    let waiting = |table| store.records(table).into_iter().map(|(key, _)| key).collect::<Vec<Key>>();
    let mut queue: std::collections::VecDeque<(Key, Key)> =
        waiting(declared::INBOX).into_iter().zip(waiting(declared::OUTBOX)).collect();
    std::thread::spawn({
        let store = store.clone();
        move || {
            let (mut stdout, mut before) = (std::io::stdout(), store.store.durable());
            loop {
                store.wait_until(|store| store.durable() > before);
                before = store.store.durable();
                writeln!(stdout, "durable {before}").unwrap();
            }
        }
    });
    loop {
        let permit = store.reserve(Class::Turn { growth: 1 }, 1000);
        let (_, records) = store.store.submit(permit, |stage| {
            let value = [&next.to_be_bytes()[..], &vec![next as u8; filling(next)]].concat();
            let value = bytes::Bytes::from(value);
            let partition = Partition(0);
            let inbox = declared::inbox(partition, stage.enqueue(&declared::INBOX, partition, value.clone()));
            let outbox = declared::outbox(partition, stage.enqueue(&declared::OUTBOX, partition, value));
            stage.put(mailbox, next.to_be_bytes().to_vec().into());
            if queue.len() as u64 >= WAITING {
                let (inbox, outbox) = queue.pop_front().unwrap();
                stage.delete(inbox);
                stage.delete(outbox);
            }
            (inbox, outbox)
        });
        queue.push_back(records);
        next += 1;
    }
}

/// How long a record is beyond its number; now and then it is cut into chunks.
fn filling(number: u64) -> usize {
    let long = if number.is_multiple_of(16) { 10_000 } else { 0 };
    long + number as usize % 400
}

/// A turn takes three positions, so what is durable tells which turns must be there: nothing less, and no hole.
fn verify(folder: &std::path::Path, reported: u64) -> u64 {
    let (store, opened) = TestStore::open(folder, settings());
    assert!(opened.durable.0 >= reported, "reported {reported}, found {}", opened.durable);
    let mailbox = declared::mailbox(Partition(0), everpost_persistence::MailboxId(1));
    let kept = store.store.get(&mailbox).unwrap().expect("reports come after the first turn");
    let last = u64::from_be_bytes(kept[..].try_into().unwrap());
    for table in [declared::INBOX, declared::OUTBOX] {
        let records = store.records(table);
        assert_eq!(records.len() as u64, last.min(WAITING), "as many as a prefix of the turns leaves");
        for (expected, (key, value)) in (last + 1 - records.len() as u64..=last).zip(&records) {
            assert_eq!(value[..8], expected.to_be_bytes(), "in order, without a hole, at {key:?}");
            assert!(value[8..].iter().all(|&byte| byte == expected as u8) && value.len() == 8 + filling(expected));
        }
    }
    assert_eq!(opened.durable, Position(3 * last), "three positions a turn, never given out twice");
    opened.replayed_groups
}

fn settings() -> Config {
    Config { checkpoint_bytes: 200_000, ..config() }
}
