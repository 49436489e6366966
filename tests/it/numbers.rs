//! Numbers that nobody can have written, in stores whose sums are all right: as a build leaves them that counts wrong.
//! They are refused by the name of their record, or mean what they can mean; nothing panics and nothing hangs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use everpost::tables;
use everpost::{NodeConfig, ReadError, Schedule, StartError};
use everpost_persistence::{Class, Config, Key, Partition, Position, Store, Table};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::records::free;
use everpost_tests::seeds::{Random, seeds};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, workers};
use tokio::time::timeout;

/// How long it is looked at what becomes of a message that may wait for ever.
const PATIENCE: Duration = Duration::from_secs(1);

type Records = BTreeMap<Key, Bytes>;

/// What is in a store.
fn records(folder: &Path) -> Records {
    let mut records = Records::new();
    let inspection = Store::inspect(folder, tables::SCHEMA).unwrap();
    for table in tables::SCHEMA.tables() {
        let note = |key: &Key, record: &[u8]| {
            records.insert(*key, Bytes::copy_from_slice(record));
            ControlFlow::Continue(())
        };
        inspection.scan(table, note).unwrap();
    }
    records
}

/// Writes to a store as a build would that has its own mind.
fn write(folder: &Path, change: impl FnOnce(&mut everpost_persistence::Stage<'_>)) {
    let (store, _) = Store::open(folder, Config::default(), tables::SCHEMA, || ()).unwrap();
    let permit = store.try_reserve(Class::Turn { growth: 0 }, 100_000).unwrap();
    store.submit(permit, change);
    store.close().unwrap();
}

/// What a start says of the record that refuses it.
fn damaged(error: StartError) -> (&'static str, &'static str) {
    match error {
        StartError::Read(ReadError::Damaged { table, reason, .. }) => (table, reason),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_the_partition_of_another_address_or_a_letter_beyond_all_positions_is_named_at_the_start() {
    let elsewhere = "the address of the message belongs to another partition";
    for is_letter in [false, true] {
        let folder = everpost_tests::folder();
        let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
        let actor = node.actor::<Worker>("one");
        actor.pause("what waits is to be seen").await.unwrap();
        actor.send(Script::new([Step::Append(1)])).await.unwrap();
        node.stop().await.unwrap();
        free(folder.path()).await;
        let records = records(folder.path());
        let mut waiting = records.iter().filter(|(key, _)| key.table() == tables::INBOX.id());
        let (key, envelope) = waiting.next().expect("it waits");
        let (partition, _) = tables::queued_of(key);
        // Before and behind it in the order of the table.
        for other in [(partition.0 + 1) % 64, (partition.0 + 63) % 64] {
            write(folder.path(), |stage| match is_letter {
                true => stage.put(tables::dead_letter(Position(1 << 40)), envelope.clone()),
                false => drop(stage.enqueue(&tables::INBOX, Partition(other), envelope.clone())),
            });
            let refused = soon("the start ends", workers(folder.path(), &Probe::new()).start()).await.unwrap_err();
            let expected =
                if is_letter { ("dead_letters", "its position was never given out") } else { ("inbox", elsewhere) };
            assert_eq!(damaged(refused), expected);
            free(folder.path()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_acknowledges_what_was_never_sent_is_named_at_the_start() {
    let net = Net::new(&["east", "west"]);
    let nodes = net.start_all(&Probe::new()).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    for number in 0..20 {
        nodes[0].actor::<Worker>(&number.to_string()).send(Script::new([Step::Append(1)])).await.unwrap();
    }
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    stop(nodes).await;
    let folder = &net.seat("east").folder;
    free(folder).await;
    let records = records(folder);
    let acknowledged = *records.keys().find(|key| key.table() == tables::ACKNOWLEDGED.id()).unwrap();
    // The version, and the largest number that can be written.
    let record = [&[1][..], &[0xff; 9], &[1]].concat();
    write(folder, |stage| stage.put(acknowledged, record.into()));
    let refused = soon("the start ends", net.seat("east").builder(&Probe::new()).start()).await.unwrap_err();
    assert_eq!(damaged(refused), ("acknowledged", "it acknowledges a position that was never given out"));
}

/// Leaves a record in as many tables as one node can.
async fn fill(folder: &Path) {
    let node = workers(folder, &Probe::new()).start().await.unwrap();
    let actor = |key: &str| node.actor::<Worker>(key);
    actor("one").ask(Script::new([Step::Append(1)])).idempotency_key("once").await.unwrap();
    let hour = Duration::from_secs(3600);
    actor("one").schedule(Script::new([Step::Append(2)]), Schedule::after(hour)).await.unwrap();
    for (name, schedule) in
        [("even", Schedule::every(hour).unwrap()), ("nightly", Schedule::cron("0 3 * * *").unwrap())]
    {
        actor("one").schedule_named(name, Script::new([Step::Append(3)]), schedule).await.unwrap();
    }
    actor("two").send(Script::new([Step::Reject])).await.unwrap();
    soon("it is given up on", node.drained()).await.unwrap();
    actor("three").pause("told to").await.unwrap();
    actor("three").send(Script::new([Step::Append(4)])).await.unwrap();
    let failed = node.statistics().failed;
    actor("four").send(Script::new([Step::RetryAfter(1, 100), Step::Append(5)])).await.unwrap();
    eventually("it has failed", || node.statistics().failed > failed).await;
    node.stop().await.unwrap();
    free(folder).await;
}

/// The record with a number in it that is as large as can be, or with bytes of chance.
fn spoilt(record: &[u8], random: &mut Random) -> Bytes {
    let at = random.below(record.len() as u64) as usize;
    let largest: &[u8] = match random.below(4) {
        0 => &[0xff, 0xff, 0xff, 0xff, 0x0f],
        1 => &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        2 => &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40],
        _ => &[random.below(256) as u8],
    };
    [&record[..at], largest, &record[at + 1..]].concat().into()
}

/// Panics in the code of the project, over all threads of this process; those of the tests' own handlers are not looked
/// at.
fn panics() -> &'static Mutex<Vec<String>> {
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", |location| location.file());
            if ["runtime/src", "persistence/src", "transport/src"].iter().any(|folder| file.contains(folder)) {
                PANICS.lock().unwrap().push(info.to_string());
            }
            before(info);
        }));
    });
    &PANICS
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_in_a_record_makes_a_node_panic_or_hang() {
    let original = everpost_tests::folder();
    fill(original.path()).await;
    let all = records(original.path());
    let found = panics();
    let (mut started, mut refused) = (BTreeMap::new(), BTreeMap::<String, usize>::new());
    for seed in seeds("numbers::no_number_in_a_record_makes_a_node_panic_or_hang", 60) {
        let mut random = seed.random();
        let folder = everpost_tests::folder();
        for half in ["journal", "tables"] {
            std::fs::create_dir(folder.path().join(half)).unwrap();
            let data = [half, "data.mdb"].iter().collect::<std::path::PathBuf>();
            std::fs::copy(original.path().join(&data), folder.path().join(&data)).unwrap();
        }
        // Those of the two queues are written once; each table as often as the others.
        let tables: Vec<Table> = tables::SCHEMA
            .tables()
            .iter()
            .copied()
            .filter(|table| ![tables::INBOX.id(), tables::OUTBOX.id()].contains(&table.id()))
            .filter(|table| all.keys().any(|key| key.table() == table.id()))
            .collect();
        let table = tables[seed.value() as usize % tables.len()];
        let of_table: Vec<_> = all.iter().filter(|(key, _)| key.table() == table.id()).collect();
        let (key, record) = of_table[random.below(of_table.len() as u64) as usize];
        let spoilt = spoilt(record, &mut random);
        write(folder.path(), |stage| stage.put(*key, spoilt.clone()));
        let config = NodeConfig { stop_timeout: Duration::from_secs(5), ..everpost_tests::config() };
        match soon("the start ends", workers(folder.path(), &Probe::new()).config(config).start()).await {
            Err(error) => {
                *refused.entry(error.to_string()).or_insert(0) += 1;
            }
            Ok(node) => {
                *started.entry(table.name()).or_insert(0) += 1;
                node.actor::<Worker>("five").ask(Script::new([Step::Append(6)])).await.unwrap();
                if table.id() == tables::ATTEMPTS.id() {
                    // It is handled soon, or never, by what its record says now.
                    let _ = timeout(PATIENCE, node.actor::<Worker>("four").ask(Script::new([Step::Append(7)]))).await;
                }
                let _ = (node.timers().list().await, node.dead_letters().list().await);
                let _ = soon("the stop ends", node.stop()).await;
            }
        }
        let found = std::mem::take(&mut *found.lock().unwrap());
        assert!(found.is_empty(), "seed {}: {key:?}, {spoilt:02x?}: {found:?}", seed.value());
    }
    eprintln!("{started:?} started, refused: {refused:?}");
    assert!(started.len() > 4, "{started:?}");
}
