//! A network that falls apart for longer than a link lives, and heals; and more than one way to a node.

use everpost::Node;
use everpost_tests::cluster::free_address;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::relay::{Faults, Relay};
use everpost_tests::seeds::seeds;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read};

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

/// Waits until neither node believes in the link any more.
async fn parted(one: &Node, other: &Node) {
    for (node, peer) in [(one, other), (other, one)] {
        eventually("the link is given up", || !node.is_linked_to(peer.name())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_while_the_network_is_apart_arrives_once_and_in_order_when_it_heals() {
    let mut net = Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]);
    let relay = Relay::start(net.seat("west").listen, 1, Faults::default()).await;
    net.route("east", "west", relay.address());
    let nodes = net.start_all(&Probe::new()).await;
    let (east, west) = (&nodes[0], &nodes[1]);
    let mut number = 0;
    for _ in 0..2 {
        linked(&[east, west]).await;
        // Some are on their way as it falls apart.
        for apart in [false, true] {
            for _ in 0..100 {
                number += 1;
                drop(east.actor::<Worker>("one").send(append(number)).submit().await.unwrap());
                drop(west.actor::<Quick>("one").send(append(number)).submit().await.unwrap());
            }
            relay.cut();
            if !apart {
                parted(east, west).await;
            }
        }
        assert!(east.statistics().outbox >= 100 && west.statistics().outbox >= 100);
        relay.heal();
        settled(&[east, west]).await;
    }
    let expected: Vec<u32> = (1..=number).collect();
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, expected);
    assert_eq!(read(&east.actor::<Quick>("one")).await.entries, expected);
    assert!(relay.fired().cut > 0);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_address_is_a_second_way() {
    let mut net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let listen = net.seat("west").listen;
    let (first, second) =
        (Relay::start(listen, 1, Faults::default()).await, Relay::start(listen, 2, Faults::default()).await);
    net.seat_mut("east").peers.insert("west".to_owned(), vec![free_address(), first.address(), second.address()]);
    let nodes = net.start_all(&Probe::new()).await;
    let (east, west) = (&nodes[0], &nodes[1]);
    let mut number = 0;
    for (way, other) in [(&first, &second), (&second, &first), (&first, &second)] {
        way.heal();
        other.cut();
        linked(&[east, west]).await;
        number += 1;
        let asked = async { east.actor::<Worker>("one").ask(append(number)).await };
        assert_eq!(soon("it goes on", asked).await.unwrap(), (1..=number).collect::<Vec<_>>());
    }
    assert!(first.fired().came > first.fired().cut && second.fired().came > second.fired().cut, "both were used");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volatile_messages_are_never_handled_twice_over_a_bad_network() {
    for seed in seeds("partitions::volatile_messages_are_never_handled_twice_over_a_bad_network", 1) {
        let mut net = Net::new(&["east", "west"]).with("worker", &["west"]);
        let faults = Faults { drop: 10, duplicate: 50, reorder: 20, ..Faults::default() };
        let relay = Relay::start(net.seat("west").listen, seed.value(), faults).await;
        net.route("east", "west", relay.address());
        let nodes = net.start_all(&Probe::new()).await;
        let (east, west) = (&nodes[0], &nodes[1]);
        let (mut sent, mut taken) = (0, 0);
        for _ in 0..2 {
            linked(&[east, west]).await;
            for _ in 0..200 {
                sent += 1;
                taken += u32::from(east.actor::<Worker>("one").send_volatile(append(sent)).is_ok());
            }
            relay.cut();
            parted(east, west).await;
            relay.heal();
        }
        soon("what comes after it is handled", async { east.actor::<Worker>("one").ask(append(sent + 1)).await })
            .await
            .unwrap();
        let entries = read(&west.actor::<Worker>("one")).await.entries;
        assert!(entries.is_sorted_by(|one, next| one < next), "seed {}: {entries:?}", seed.value());
        assert!(entries.len() as u32 <= taken + 1 && taken <= sent);
        eprintln!("seed {}: {sent} sent, {taken} taken, {} handled, {:?}", seed.value(), entries.len(), relay.fired());
        stop(nodes).await;
    }
}
