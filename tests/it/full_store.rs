//! A store that is nearly full drains: what makes it smaller passes, and of what makes it larger one turn after the
//! other, the newest first.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everpost::tables;
use everpost::{
    Actor, AdmissionError, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, Refusal, SendError,
    StoreConfig, Turn,
};
use everpost_persistence::{Key, Mark, Slots, Store};
use everpost_tests::probe::Probe;
use everpost_tests::records;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};

const MAP_BYTES: u64 = 8 << 20;

fn tiny() -> NodeConfig {
    with_tables(MAP_BYTES)
}

fn with_tables(tables_map_bytes: u64) -> NodeConfig {
    let store = StoreConfig {
        journal_map_bytes: MAP_BYTES,
        tables_map_bytes,
        checkpoint_age: Duration::from_millis(5),
        disk_headroom_bytes: 0,
        ..StoreConfig::default()
    };
    NodeConfig { store, ..everpost_tests::config() }
}

/// They were taken for growing, since their states do, and waited for ever for room that only they could make.
#[tokio::test(flavor = "multi_thread")]
async fn turns_that_free_more_than_their_states_grow_by_pass_in_a_full_store() {
    const SHRINKERS: usize = 200;
    const GROWERS: usize = 1600;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).config(tiny()).start().await.unwrap();
    for number in 0..SHRINKERS {
        let actor = node.actor::<Worker>(&format!("shrinker-{number}"));
        actor.send(Script::padded([Step::Wait(1), Step::Append(7), Step::Reach(3)], 20_000)).await.unwrap();
    }
    for number in 0..GROWERS {
        let actor = node.actor::<Worker>(&format!("grower-{number}"));
        actor.send(Script::new([Step::Wait(2), Step::Grow(1500), Step::Reach(4)])).await.unwrap();
    }
    probe.open(2);
    probe.reached(4, GROWERS).await;
    eventually("the store is full", || node.store_statistics().tables_used_bytes * 100 > MAP_BYTES * 90).await;
    assert!(node.statistics().handled < GROWERS as u64, "all of them found room: {:?}", node.statistics());
    probe.open(1);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((node.statistics().failed, node.statistics().dead_lettered), (0, 0));
    for number in 0..SHRINKERS {
        assert_eq!(read(&node.actor::<Worker>(&format!("shrinker-{number}"))).await.entries, [7]);
    }
    for number in 0..GROWERS {
        assert_eq!(read(&node.actor::<Worker>(&format!("grower-{number}"))).await.ballast.len(), 1500);
    }
    node.stop().await.unwrap();
}

/// The records of trials waited for room, and nothing ran that could make some: the node never started again.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_unclean_end_in_a_full_store_a_suspect_has_its_trial_and_the_node_drains() {
    // What is left above 95 % has room for the pages that a checkpoint copies.
    const TABLES_BYTES: u64 = 32 << 20;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { stop_timeout: Duration::from_millis(100), ..with_tables(TABLES_BYTES) };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let mut sent = 0;
    loop {
        let script = Script::padded([Step::Wait(1), Step::Append(sent)], 20_000);
        match node.actor::<Worker>(&(sent % 7).to_string()).send(script).await {
            Ok(_) => sent += 1,
            Err(SendError::NotAccepted { reason: Refusal::Store(AdmissionError::StoreFull { .. }), .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let used = node.store_statistics().tables_used_bytes;
    // The handlers at the gate are cut off, which the error says.
    soon("it stops", node.stop()).await.unwrap_err();
    records::free(folder.path()).await;
    die_with_one_in_flight(folder.path());

    // A map of which that takes a little more than 95 %.
    let map = (used * 1000 / 954).next_multiple_of(64 << 10);
    let file = std::fs::metadata(folder.path().join("tables/data.mdb")).unwrap().len();
    assert!(file <= map, "{file} bytes do not fit into {map}");
    let node = soon("it starts", workers(folder.path(), &probe).config(with_tables(map)).start()).await.unwrap();
    let used = node.store_statistics().tables_used_bytes;
    assert!(used * 100 > map * 95, "only {used} of {map} bytes are in use");
    probe.open(1);
    soon("it drains", node.drained()).await.unwrap();
    for key in 0..7 {
        let expected: Vec<u32> = (0..sent).filter(|number| number % 7 == key).collect();
        assert_eq!(read(&node.actor::<Worker>(&key.to_string())).await.entries, expected);
    }
    node.stop().await.unwrap();
}

/// Leaves the store of a stopped node as a process does that dies while a handler has its first message in flight.
fn die_with_one_in_flight(folder: &Path) {
    let mut first = None;
    let noting = |key: &Key, _: &[u8]| {
        let (_, position) = tables::queued_of(key);
        first = Some(position);
        ControlFlow::Break(())
    };
    Store::inspect(folder, tables::SCHEMA).unwrap().scan(&tables::INBOX, noting).unwrap();
    let (slots, _) = Slots::open(folder).unwrap();
    let mut slot = slots.claim().unwrap();
    let _before = slot.set(Mark::Record(first.expect("messages wait")));
    // It is not put back.
    std::mem::forget(slot);
}

/// A station of a pipeline: hands on what comes, a little larger; the first one three times.
struct Station {
    probe: Arc<Probe>,
}

#[derive(Serialize, Deserialize, Message)]
struct Parcel {
    /// Stations that it has yet to pass.
    left: u32,
    lane: u32,
    body: Vec<u8>,
}

const STATIONS: u32 = 2;
const COPIES: u32 = 3;

impl Actor for Station {
    const TYPE: &'static str = "station";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Parcel>();
    }
}

impl Handler<Parcel> for Station {
    async fn handle(&self, seen: &mut Durable<u64>, parcel: Parcel, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Parcel { left, lane, mut body } = parcel;
        let copies = if left == STATIONS { COPIES } else { 1 };
        self.probe.pass(left).await;
        if left == 0 {
            **seen += 1;
            return Ok(());
        }
        body.resize(body.len() + 150, 1);
        for _ in 0..copies {
            turn.send(&Self::at(&key(left - 1, lane)), Parcel { left: left - 1, lane, body: body.clone() });
        }
        Ok(())
    }
}

fn key(left: u32, lane: u32) -> String {
    format!("{left}-{lane}")
}

/// The first station fills the store with what waits for the second, which makes it larger: everything waited for room
/// that only the last one makes.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_makes_each_message_larger_drains_in_a_full_store() {
    const LANES: u32 = 200;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let station = Station { probe: Arc::clone(&probe) };
    let node = Node::builder("node", folder.path()).actor(station).config(tiny()).start().await.unwrap();
    let mut sent = 0;
    loop {
        let lane = sent % LANES;
        let parcel = Parcel { left: STATIONS, lane, body: vec![1; 2500] };
        match node.actor::<Station>(&key(STATIONS, lane)).send(parcel).await {
            Ok(_) => sent += 1,
            Err(SendError::NotAccepted { reason: Refusal::Store(AdmissionError::StoreFull { .. }), .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent > 5 * LANES, "only {sent} messages of 2.5 KB fit into 8 MiB");
    (0..=STATIONS).for_each(|station| probe.open(station));
    soon("it drains", node.drained()).await.unwrap();
    let statistics = node.statistics();
    assert_eq!(statistics.handled, u64::from(sent * (1 + 2 * COPIES)));
    assert_eq!((statistics.failed, statistics.dead_lettered), (0, 0));
    node.stop().await.unwrap();
}
