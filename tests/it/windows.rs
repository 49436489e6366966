//! Windows that are far smaller than what is to go through them: what is in memory, what may be under way, and what a
//! lane is granted.

use everpost::{Node, NodeConfig, Refusal, SendError};
use everpost_tests::logs;
use everpost_tests::net::{Net, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read};

/// How many workers are sent to, so that there are many lanes.
const KEYS: u32 = 7;

fn count(number: u32, bytes: u32) -> Script {
    Script::padded([Step::Count(number)], bytes as usize)
}

/// Sends messages of many sizes, the same to each worker.
async fn send(node: &Node, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        for key in 0..KEYS {
            let actor = node.actor::<Worker>(&key.to_string());
            drop(actor.send(count(number, number * 97 % 3000)).submit().await.unwrap());
        }
    }
}

async fn all_has_arrived(node: &Node, last: u32) {
    for key in 0..KEYS {
        let log = read(&node.actor::<Worker>(&key.to_string())).await;
        assert_eq!((log.count, log.last, log.jumps), (u64::from(last), last, 0), "key {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_does_not_fit_into_memory_is_read_from_the_store_and_arrives_in_order() {
    let config = NodeConfig { window_bytes_max: 5000, ..everpost_tests::config() };
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).config(&config);
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    send(&east, 1..=150).await;
    // All of it is in the store only after a restart; then some of it is in memory again.
    stop([east]).await;
    let east = net.start("east", &probe).await;
    assert_eq!(east.statistics().outbox, 150 * KEYS as usize);
    send(&east, 151..=300).await;
    let west = net.start("west", &probe).await;
    send(&east, 301..=400).await;
    settled(&[&east, &west]).await;
    all_has_arrived(&west, 400).await;
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_larger_than_every_window_of_a_link_go_through() {
    let mut net = Net::new(&["east", "west"]).with("worker", &["west"]);
    for (name, streams, window) in [("east", 1, 1500), ("west", 7, 800)] {
        let link = &mut net.seat_mut(name).link;
        (link.streams, link.send_window_bytes, link.lane_window_bytes) = (streams, window, window);
    }
    let nodes = net.start_all(&Probe::new()).await;
    send(&nodes[0], 1..=200).await;
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    all_has_arrived(&nodes[1], 200).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_that_is_allowed_goes_through_and_one_byte_more_is_refused() {
    const BYTES_MAX: usize = 300_000;
    let config = NodeConfig { message_bytes_max: BYTES_MAX, ..everpost_tests::config() };
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).config(&config);
    let nodes = net.start_all(&Probe::new()).await;
    let actor = nodes[0].actor::<Worker>("one");
    let padded = |bytes| Script::padded([Step::Append(1)], bytes);
    let refused = actor.send(padded(BYTES_MAX)).await.unwrap_err();
    let SendError::NotAccepted { reason: Refusal::MessageTooLarge { bytes, bytes_max: BYTES_MAX }, .. } = refused
    else {
        panic!("{refused:?}")
    };
    let largest = BYTES_MAX - (bytes - BYTES_MAX);
    actor.send(padded(largest)).await.unwrap();
    assert!(actor.send(padded(largest + 1)).await.is_err());
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    assert_eq!(read(&nodes[1].actor::<Worker>("one")).await.entries, [1]);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_the_other_node_takes_waits_until_that_takes_it() {
    logs::keep();
    let mut net = Net::new(&["oversized-east", "oversized-west"])
        .with("worker", &["oversized-west"])
        .with("quick", &["oversized-east"]);
    net.seat_mut("oversized-west").config.message_bytes_max = 4096;
    let probe = Probe::new();
    // Before it can know how much the west takes.
    let east = net.start("oversized-east", &probe).await;
    let key = |number: u32| format!("key {number}");
    for number in 0..20 {
        east.actor::<Worker>(&key(number)).send(count(1, 0)).await.unwrap();
    }
    east.actor::<Worker>(&key(0)).send(count(2, 8000)).await.unwrap();
    for number in 0..20 {
        east.actor::<Worker>(&key(number)).send(count(3, 0)).await.unwrap();
    }
    let west = net.start("oversized-west", &probe).await;
    let line = logs::line("oversized-east", "message too large for the peer", "message_bytes_max").await;
    assert_eq!(line.field("peer"), "oversized-west");
    // Its own lane waits: it, what follows it, and what shares its partition. The others do not.
    eventually("the others arrive", || east.statistics().outbox == 2).await;
    soon("they are handled", west.drained()).await.unwrap();
    assert_eq!(read(&west.actor::<Worker>(&key(0))).await.last, 1);
    assert_eq!(read(&west.actor::<Worker>(&key(1))).await.last, 3);
    stop([west]).await;
    net.seat_mut("oversized-west").config.message_bytes_max = 16 << 20;
    let west = net.start("oversized-west", &probe).await;
    settled(&[&east, &west]).await;
    let log = read(&west.actor::<Worker>(&key(0))).await;
    assert_eq!((log.count, log.last, log.jumps), (3, 3, 0));
    stop([east, west]).await;
}
