//! Addresses cost memory only while there is something to do.

use std::time::Duration;

use everpost::NodeConfig;
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read, workers};

const ADDRESSES: u32 = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn of_100_000_addresses_none_stays_in_memory_and_every_state_comes_back() {
    let folder = everpost_tests::folder();
    let idle_after = Duration::from_millis(500);
    let config = NodeConfig { idle_after, activations_max: 1000, ..everpost_tests::config() };
    let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
    let mut last = None;
    let mut activations_most = 0;
    for number in 0..ADDRESSES {
        let key = number.to_string();
        last = Some(node.actor::<Quick>(&key).send(Script::new([Step::Append(number)])).submit().await.unwrap());
        activations_most = activations_most.max(node.statistics().activations);
    }
    last.unwrap().accepted().await.unwrap();
    soon("all are handled", node.drained()).await.unwrap();
    // Besides those that may be idle there are those at work, whose number depends on the machine.
    assert!(activations_most < ADDRESSES as usize / 4, "{activations_most} activations at a time");
    eventually("activations and mailboxes leave memory", || {
        let statistics = node.statistics();
        statistics.activations == 0 && statistics.mailboxes == 0
    })
    .await;
    assert_eq!(node.statistics().handled, u64::from(ADDRESSES));
    for number in (0..ADDRESSES).step_by(997) {
        let actor = node.actor::<Quick>(&number.to_string());
        assert_eq!(actor.ask(Script::new([Step::Append(1)])).await.unwrap(), [number, 1]);
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_activation_leaves_and_the_next_message_finds_the_state() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { idle_after: Duration::from_millis(20), ..everpost_tests::config() };
    let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    for number in 1..=5 {
        actor.ask(Script::new([Step::Append(number)])).await.unwrap();
        eventually("it leaves memory", || {
            let statistics = node.statistics();
            statistics.activations == 0 && statistics.mailboxes == 0
        })
        .await;
        assert_eq!(read(&actor).await.entries, (1..=number).collect::<Vec<_>>());
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_is_at_work_does_not_leave() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let config = NodeConfig { idle_after: Duration::from_millis(5), activations_max: 1, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("busy");
    actor.send(Script::new([Step::Append(1), Step::Reach(0), Step::Wait(0)])).await.unwrap();
    probe.reached(0, 1).await;
    for number in 0..50 {
        node.actor::<Worker>(&number.to_string()).ask(Script::new([Step::Append(1)])).await.unwrap();
    }
    eventually("the others leave", || node.statistics().activations == 1).await;
    probe.open(0);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((read(&actor).await.entries, node.statistics().failed), (vec![1], 0));
    node.stop().await.unwrap();
}
