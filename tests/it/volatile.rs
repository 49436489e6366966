//! Volatile messages keep to the bounds of mailboxes: what has no room is dropped, and somebody says so.

use everpost::{Node, NodeConfig, Refusal, SendError};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const GATE: u32 = 0;
const MAX: usize = 1_000;
const SENT: u32 = 20_000;

fn config() -> NodeConfig {
    NodeConfig { mailbox_messages_max: MAX, ..everpost_tests::config() }
}

/// Sends many volatile messages to a worker that handles none; returns how many were taken.
fn flood(node: &Node) -> usize {
    let worker = node.actor::<Worker>("one");
    let mut taken = 0;
    for number in 1..=SENT {
        match worker.send_volatile(Script::new([Step::Count(number)])) {
            Ok(()) => taken += 1,
            Err(SendError::NotAccepted { reason, .. }) => assert!(is_for_want_of_room(&reason), "{reason}"),
            Err(other) => panic!("{other}"),
        }
    }
    taken
}

fn is_for_want_of_room(reason: &Refusal) -> bool {
    matches!(reason, Refusal::MailboxFull | Refusal::NoLink { .. } | Refusal::Store(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_of_this_node_refuses_them() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(config()).start().await.unwrap();
    let worker = node.actor::<Worker>("one");
    worker.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let taken = flood(&node);
    assert!(taken <= MAX, "{taken}");
    assert!(node.statistics().waiting <= MAX + 1, "{:?}", node.statistics());
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&worker).await.count, taken as u64, "those that were taken are handled");
    node.stop().await.unwrap();
}

/// 644,800 were taken into a mailbox of 1,000.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_of_another_node_drops_them_and_counts_them() {
    let names = ["volatile-east", "volatile-west"];
    let net = Net::new(&names).with("worker", &names[1..]).config(&config());
    let probe = Probe::new();
    let (east, west) = (net.start(names[0], &probe).await, net.start(names[1], &probe).await);
    linked(&[&east, &west]).await;
    let worker = east.actor::<Worker>("one");
    worker.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let mut taken = flood(&east);
    // Once the west has said that the mailbox is full, the east refuses them.
    eventually("the east knows that it is full", || {
        match worker.send_volatile(Script::new([Step::Count(0)])) {
            Ok(()) => taken += 1,
            Err(SendError::NotAccepted { reason: Refusal::MailboxFull, .. }) => return true,
            Err(_) => {}
        }
        false
    })
    .await;
    let arrived = || {
        let statistics = west.statistics();
        (statistics.waiting + usize::try_from(statistics.volatile_dropped).unwrap()).saturating_sub(1)
    };
    eventually("what was taken has arrived, or was dropped there", || arrived() == taken).await;
    assert!(west.statistics().waiting <= MAX + 1, "{:?}", west.statistics());
    probe.open(GATE);
    soon("it drains", west.drained()).await.unwrap();
    // There is room again.
    let before = west.statistics().handled;
    eventually("one is taken again", || worker.send_volatile(Script::new([Step::Count(0)])).is_ok()).await;
    eventually("it is handled", || west.statistics().handled > before).await;
    stop([east, west]).await;
}
