//! Whole nodes over a network that loses, doubles, delays, reorders and corrupts packets, and falls apart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use everpost::{Node, Reason};
use everpost_tests::load::{self, STREAMS, Sink, Source, Sum, Total, WholeHistory};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::oracle::{Found, Oracle};
use everpost_tests::probe::Probe;
use everpost_tests::relay::{Faults, Fired, Relay};
use everpost_tests::seeds::{Random, seeds};
use everpost_tests::wait::{eventually, soon};
use tokio::task::JoinSet;

/// How many jobs each stream sends.
const JOBS: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn over_a_bad_network_everything_accepted_is_handled_once_and_in_order() {
    for seed in seeds("network::over_a_bad_network_everything_accepted_is_handled_once_and_in_order", 2) {
        let mut random = seed.random();
        let names: &[&str] = if random.once_in(2) { &["east", "north", "west"] } else { &["east", "west"] };
        let (net, relays) = relayed(names, &mut random).await;
        let (oracle, found) = run(&net, &relays, &mut random).await;
        oracle.judge(&found).unwrap_or_else(|violation| panic!("seed {}: {violation}", seed.value()));
        let fired: Vec<_> = relays.iter().map(|relay| relay.fired()).collect();
        eprintln!("seed {}: {} nodes, {:?}, {fired:?}", seed.value(), names.len(), oracle.counts());
        let sum = |count: fn(&Fired) -> u64| fired.iter().map(count).sum::<u64>();
        let all = [sum(|fired| fired.dropped), sum(|fired| fired.duplicated), sum(|fired| fired.reordered)];
        let happened = all.iter().all(|count| *count > 0) && sum(|fired| fired.cut) > 0;
        assert!(happened, "too little happened: {fired:?}");
    }
}

/// Nodes with a bad network between each two of them.
pub(crate) async fn relayed(names: &[&str], random: &mut Random) -> (Net, Vec<Relay>) {
    let mut net = Net::new(names);
    let mut relays = Vec::new();
    for (index, dialer) in names.iter().enumerate() {
        for dialed in &names[index + 1..] {
            let faults = bad(random);
            let relay = Relay::start(net.seat(dialed).listen, random.below(u64::MAX), faults).await;
            net.route(dialer, dialed, relay.address());
            relays.push(relay);
        }
    }
    (net, relays)
}

fn bad(random: &mut Random) -> Faults {
    let mut share = |most: u64| u32::try_from(1 + random.below(most)).unwrap();
    let (drop, duplicate, reorder, corrupt) = (share(30), share(50), share(20), share(5));
    Faults {
        drop,
        duplicate,
        reorder,
        corrupt,
        delay_max: Duration::from_micros(u64::from(share(4000))),
        ..Faults::default()
    }
}

/// Runs the load while the network falls apart and heals; returns what clients saw, and what is there in the end.
async fn run(net: &Net, relays: &[Relay], random: &mut Random) -> (Oracle, Found) {
    let nodes = net.start_all(&Probe::new()).await;
    let all: Vec<&Node> = nodes.iter().collect();
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    let mut clients = JoinSet::new();
    for stream in 0..STREAMS {
        let node = nodes[stream as usize % nodes.len()].clone();
        let oracle = Arc::clone(&oracle);
        clients.spawn(load::client(node, stream, 1..=JOBS, move |client| oracle.lock().unwrap().saw(&client)));
    }
    for _ in 0..4 {
        let relay = &relays[usize::try_from(random.below(relays.len() as u64)).unwrap()];
        let before = relay.fired().came;
        let some = 50 + random.below(300);
        // Nothing comes any more once the load is done.
        eventually("packets come", || relay.fired().came > before + some || clients.is_empty()).await;
        relay.cut();
        let cut = relay.fired().cut;
        eventually("packets are lost", || relay.fired().cut > cut + random.below(8)).await;
        relay.heal();
    }
    soon("all is sent", clients.join_all()).await;
    linked(&all).await;
    settled(&all).await;
    let found = look(&all).await;
    stop(nodes).await;
    let oracle = oracle.lock().unwrap().clone();
    (oracle, found)
}

/// Reads what is there, from wherever.
pub(crate) async fn look(nodes: &[&Node]) -> Found {
    let any = nodes[0];
    let mut found = Found { total: any.actor::<Total>("main").query(Sum).await.unwrap(), ..Found::default() };
    for key in ["0", "1", "2"] {
        found.sources.extend(any.actor::<Source<false>>(key).query(WholeHistory).await.unwrap());
        found.sources.extend(any.actor::<Source<true>>(key).query(WholeHistory).await.unwrap());
        found.sinks.extend(any.actor::<Sink<false>>(key).query(WholeHistory).await.unwrap());
        found.sinks.extend(any.actor::<Sink<true>>(key).query(WholeHistory).await.unwrap());
    }
    for node in nodes {
        for letter in &node.dead_letters().list().await.unwrap() {
            assert_eq!((letter.reason, letter.attempts), (Reason::Rejected, 1), "{letter:?}");
            found.dead_letter(letter);
        }
    }
    found
}
