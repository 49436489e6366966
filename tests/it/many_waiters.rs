//! Nobody who waits for the outcome of a message is forgotten, however many wait at once.

use std::time::Duration;

use everpost::Receipt;
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::seeds::are_many;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script};

/// A link used to keep 65,536 notes; what was above them was dropped, and its waiters with it. As many take a minute:
/// they do when random tests are to run more seeds than usual. The rules that see to it are tested with more by
/// themselves.
fn messages() -> usize {
    if are_many() { 66_500 } else { 2_000 }
}

const LONG: Duration = Duration::from_secs(1800);

async fn submit(node: &everpost::Node, messages: usize) -> Vec<Receipt> {
    let actors: Vec<_> = (0..64).map(|key: u32| node.actor::<Quick>(&key.to_string())).collect();
    let mut receipts = Vec::with_capacity(messages);
    for number in 0..messages {
        receipts.push(actors[number % actors.len()].send(Script::new([])).submit().await.unwrap());
    }
    receipts
}

/// Waits for all, and tells how many were told.
async fn all_processed(receipts: Vec<Receipt>) {
    let total = receipts.len();
    let mut waiting: tokio::task::JoinSet<_> = receipts.into_iter().map(Receipt::processed).collect();
    let mut told = 0;
    while let Ok(Some(processed)) = tokio::time::timeout(everpost_tests::wait::DEADLINE, waiting.join_next()).await {
        processed.unwrap().unwrap();
        told += 1;
    }
    assert_eq!(told, total, "the others wait for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_waits_over_a_restart_of_the_receiver_is_told() {
    let net = Net::new(&["east", "west"]).with("quick", &["west"]);
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let west = net.start("west", &probe).await;
    linked(&[&east, &west]).await;
    let receipts = submit(&east, messages()).await;
    let handled = async {
        while east.statistics().outbox > 0 || west.statistics().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, handled).await.expect("all are handled");
    soon("west stops", west.stop()).await.unwrap();
    let all = tokio::spawn(all_processed(receipts));
    eventually("it is seen that west is gone", || !east.is_linked_to("west")).await;
    let west = net.start("west", &probe).await;
    all.await.unwrap();
    stop([east, west]).await;
}
