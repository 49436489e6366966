//! Random damage to a store with known content. Whatever is damaged, what is read is what was written, or the damage is
//! named: nothing is wrong without a word, and nothing ends the process or hangs.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use everpost::tables;
use everpost_persistence::{Class, Config, Key, MailboxId, OpenError, Partition, Position, ReadError, ShardId, Store};
use everpost_tests::seeds::{Random, seeds};

const PAGE: usize = 4096;
const HALVES: [&str; 2] = ["journal", "tables"];

type Content = BTreeMap<Key, Bytes>;

/// The data files of both halves.
type Files = [Vec<u8>; 2];

/// A store that was closed, and what became of it and of a copy of it in two more runs each, of which the last was
/// killed.
struct Stores {
    older: Files,
    newer: Files,
    /// What is in the newer one.
    content: Content,
    fork: Files,
}

/// What was done to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    BitAnywhere,
    BitWhereAPageBegins,
    BitInAMetaPage,
    PageOfZeros,
    PageOfAnother,
    OlderPage,
    Truncation,
    OlderHalf,
    HalfOfAFork,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    NamedWhenRead,
    /// What was damaged meant nothing.
    AsWritten,
    /// What is read is not what was written: what must not be.
    Silent,
}

const HARMS: [Harm; 9] = [
    Harm::BitAnywhere,
    Harm::BitWhereAPageBegins,
    Harm::BitInAMetaPage,
    Harm::PageOfZeros,
    Harm::PageOfAnother,
    Harm::OlderPage,
    Harm::Truncation,
    Harm::OlderHalf,
    Harm::HalfOfAFork,
];

fn config() -> Config {
    Config {
        journal_map_bytes: 64 << 20,
        tables_map_bytes: 64 << 20,
        checkpoint_age: Duration::from_secs(3600),
        disk_headroom_bytes: 0,
        ..Config::default()
    }
}

fn open(folder: &Path) -> Result<Store, OpenError> {
    Ok(Store::open(folder, config(), tables::SCHEMA, || ())?.0)
}

/// Submits changes of all kinds, in groups of a few.
fn change(store: &Store, random: &mut Random, content: &mut Content) {
    for _ in 0..60 {
        let permit = store.try_reserve(Class::Turn { growth: 1 }, 20_000).unwrap();
        let (ticket, ()) = store.submit(permit, |stage| {
            for _ in 0..1 + random.below(6) {
                let partition = Partition(random.below(4) as u16);
                let (id, line) = (u128::from(random.below(60)), random.below(3));
                let length = if random.below(20) == 0 { 5000 + random.below(9000) } else { random.below(300) };
                let value = Bytes::from(vec![random.below(256) as u8; length as usize]);
                let key = match random.below(12) {
                    0 | 1 => {
                        let position = stage.enqueue(&tables::INBOX, partition, value.clone());
                        content.insert(tables::inbox(partition, position), value);
                        continue;
                    }
                    2 => {
                        let position = stage.enqueue(&tables::OUTBOX, partition, value.clone());
                        content.insert(tables::outbox(partition, position), value);
                        continue;
                    }
                    3 => {
                        let queued = content
                            .keys()
                            .rev()
                            .find(|key| [tables::INBOX.id(), tables::OUTBOX.id()].contains(&key.table()));
                        if let Some(&key) = queued {
                            stage.delete(key);
                            content.remove(&key);
                        }
                        continue;
                    }
                    4 => tables::dead_letter(Position(1 + random.below(40))),
                    5 => tables::reply(partition, MailboxId(id), id),
                    6 => tables::received(partition, ShardId(id), line),
                    7 => tables::peer(ShardId(id % 5)),
                    8 => tables::timer(partition, id),
                    9 => tables::note(random.below(4) as u32),
                    _ => tables::mailbox(partition, MailboxId(id)),
                };
                if random.below(4) == 0 {
                    stage.delete(key);
                    content.remove(&key);
                } else {
                    stage.put(key, value.clone());
                    content.insert(key, value);
                }
            }
        });
        while store.durable() < ticket {
            assert!(store.failure().is_none());
            std::thread::yield_now();
        }
    }
}

fn files(folder: &Path) -> Files {
    HALVES.map(|half| fs::read(folder.join(half).join("data.mdb")).unwrap())
}

fn write(folder: &Path, files: &Files) {
    for (half, bytes) in HALVES.iter().zip(files) {
        fs::create_dir_all(folder.join(half)).unwrap();
        fs::write(folder.join(half).join("data.mdb"), bytes).unwrap();
    }
}

fn stores() -> &'static Stores {
    static STORES: OnceLock<Stores> = OnceLock::new();
    STORES.get_or_init(|| {
        let folder = everpost_tests::folder();
        let (mut random, mut content) = (Random::new(1), Content::new());
        let run = |folder: &Path, random: &mut Random, content: &mut Content, closes: bool| {
            let store = open(folder).unwrap();
            change(&store, random, content);
            if closes {
                store.close().unwrap();
            }
        };
        run(folder.path(), &mut random, &mut content, true);
        let older = files(folder.path());
        let fork = everpost_tests::folder();
        write(fork.path(), &older);
        let [newer, fork] = [(folder.path(), 2), (fork.path(), 3)].map(|(folder, seed)| {
            let (mut random, mut content) = (Random::new(seed), content.clone());
            run(folder, &mut random, &mut content, true);
            run(folder, &mut random, &mut content, false);
            (files(folder), content)
        });
        Stores { older, newer: newer.0, content: newer.1, fork: fork.0 }
    })
}

/// Damages the newer store.
fn harmed(harm: Harm, random: &mut Random) -> Files {
    let Stores { older, newer, fork, .. } = stores();
    let (mut files, half) = (newer.clone(), random.below(2) as usize);
    let bytes = &mut files[half];
    let pages = bytes.len() / PAGE;
    let mut page = || random.below(pages as u64) as usize * PAGE;
    match harm {
        Harm::BitAnywhere | Harm::BitWhereAPageBegins | Harm::BitInAMetaPage => {
            let at = match harm {
                Harm::BitAnywhere => page() + random.below(PAGE as u64) as usize,
                Harm::BitWhereAPageBegins => page() + random.below(64) as usize,
                _ => random.below(2) as usize * PAGE + random.below(160) as usize,
            };
            bytes[at] ^= 1 << random.below(8);
        }
        Harm::PageOfZeros => {
            let at = page();
            bytes[at..at + PAGE].fill(0);
        }
        Harm::PageOfAnother => {
            let (from, to) = (page(), page());
            bytes.copy_within(from..from + PAGE, to);
        }
        Harm::OlderPage => {
            // One that has changed since, if chance finds one.
            let older = &older[half];
            let changed = |at: &usize| older.get(*at..at + PAGE).is_some_and(|page| *page != bytes[*at..at + PAGE]);
            let at = (0..100).map(|_| page()).find(changed);
            if let Some(at) = at {
                bytes[at..at + PAGE].copy_from_slice(&older[at..at + PAGE]);
            }
        }
        Harm::Truncation => bytes.truncate(random.below(bytes.len() as u64) as usize),
        Harm::OlderHalf => bytes.clone_from(&older[half]),
        Harm::HalfOfAFork => bytes.clone_from(&fork[half]),
    }
    files
}

/// Everything that can be read; the first damage that is named ends it.
fn read(store: &Store) -> Result<Content, ReadError> {
    let mut content = Content::new();
    for table in tables::SCHEMA.tables() {
        store.scan(table, |key, value| {
            content.insert(*key, Bytes::copy_from_slice(value));
            ControlFlow::Continue(())
        })?;
    }
    Ok(content)
}

/// Opens a store that was damaged, reads it, and goes on with it.
fn outcome(files: &Files) -> Outcome {
    let folder = everpost_tests::folder();
    write(folder.path(), files);
    let Ok(store) = open(folder.path()) else { return Outcome::Refused };
    let expected = &stores().content;
    match read(&store) {
        Err(_) => return Outcome::NamedWhenRead,
        Ok(content) if content != *expected => return Outcome::Silent,
        Ok(_) => {}
    }
    let mut content = expected.clone();
    change(&store, &mut Random::new(4), &mut content);
    store.close().unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    if read(&store).unwrap() == content { Outcome::AsWritten } else { Outcome::Silent }
}

#[test]
fn no_damage_to_a_store_goes_without_a_word() {
    let mut outcomes: BTreeMap<(Harm, Outcome), usize> = BTreeMap::new();
    let mut silent = Vec::new();
    for seed in seeds("damages::no_damage_to_a_store_goes_without_a_word", 405) {
        let harm = HARMS[seed.value() as usize % HARMS.len()];
        let outcome = outcome(&harmed(harm, &mut seed.random()));
        *outcomes.entry((harm, outcome)).or_default() += 1;
        if outcome == Outcome::Silent {
            silent.push((harm, seed.value()));
        }
    }
    for ((harm, outcome), times) in outcomes {
        eprintln!("{harm:?} {outcome:?} {times}");
    }
    assert!(silent.is_empty(), "with these seeds: {silent:?}");
}
