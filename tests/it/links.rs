//! Nodes that send to each other, ask and query, whichever starts first.

use std::sync::Arc;

use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker, read};

#[tokio::test(flavor = "multi_thread")]
async fn actors_are_addressed_alike_wherever_they_live() {
    let net = Net::new(&["east", "west", "north"]);
    let nodes = net.start_all(&Probe::new()).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    let mut owners = std::collections::BTreeSet::new();
    for key in (0..30).map(|key: u32| key.to_string()) {
        for (number, node) in (1..).zip(&nodes) {
            let actor = node.actor::<Worker>(&key);
            owners.insert(node.owner_of(actor.address().address()).to_owned());
            let reply = soon("a reply", async { actor.ask(Script::new([Step::Append(number)])).await }).await.unwrap();
            assert_eq!(reply, (1..=number).collect::<Vec<_>>());
        }
        for node in &nodes {
            assert_eq!(read(&node.actor::<Worker>(&key)).await.entries, [1, 2, 3]);
        }
    }
    assert_eq!(owners.len(), 3, "they are spread over all nodes");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_starting_does_not_matter() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]);
    for order in [["east", "west"], ["west", "east"]] {
        let probe = Probe::new();
        let first = net.start(order[0], &probe).await;
        let sender = first.clone();
        let sent = tokio::spawn(async move {
            let mut receipts = Vec::new();
            for number in 0..100 {
                let script = Script::new([Step::Count(number)]);
                receipts.push(
                    sender.actor::<Worker>(&format!("of {}", sender.name())).send(script).submit().await.unwrap(),
                );
            }
            for receipt in receipts {
                receipt.processed().await.unwrap();
            }
        });
        let second = net.start(order[1], &probe).await;
        soon("all are processed", sent).await.unwrap();
        stop([first, second]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_in_the_middle_of_traffic_loses_nothing() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let (east, mut west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    let mut number = 0;
    for _ in 0..6 {
        for _ in 0..200 {
            number += 1;
            drop(east.actor::<Worker>("one").send(Script::new([Step::Count(number)])).submit().await.unwrap());
        }
        soon("it stops", west.stop()).await.unwrap();
        west = net.start("west", &probe).await;
    }
    settled(&[&east, &west]).await;
    let log = read(&west.actor::<Worker>("one")).await;
    assert_eq!((log.count, log.last, log.jumps), (u64::from(number), number, 0));
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_that_send_to_other_nodes_do_it_once_however_often_they_run() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]);
    let probe: Arc<Probe> = Probe::new();
    let nodes = net.start_all(&probe).await;
    let sends = (1..=50).map(|number| Step::Send(everpost_tests::worker::worker("sink"), vec![Step::Append(number)]));
    let fails = [Step::FailUpTo(2), Step::PanicUpTo(4)];
    let steps: Vec<Step> = sends.chain(fails).collect();
    nodes[0].actor::<everpost_tests::worker::Quick>("source").send(Script::new(steps)).await.unwrap();
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    assert_eq!(read(&nodes[1].actor::<Worker>("sink")).await.entries, (1..=50).collect::<Vec<_>>());
    stop(nodes).await;
}
