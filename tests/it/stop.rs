//! Stopping is a protocol: nothing more is taken in, turns that run finish, and nobody who waits is left hanging.

use std::sync::Arc;
use std::time::Duration;

use everpost::{
    AskError, Backoff, Node, NodeConfig, NodeEnded, OpenError, QueryError, Refusal, SendError, StartError, StopError,
};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Read, Script, Step, Stranger, Worker, read, workers};

const GATE: u32 = 0;

/// Stops `node` in the background, and waits until that has begun.
async fn begin_stop(node: &Node) -> tokio::task::JoinHandle<Result<(), StopError>> {
    let stopping = tokio::spawn({
        let node = node.clone();
        async move { node.stop().await }
    });
    // A message that nobody handles leaves nothing behind when it comes too early.
    let probing = node.actor::<Worker>("nobody");
    let refused =
        || matches!(probing.send(Stranger).try_submit(), Err(SendError::NotAccepted { reason: Refusal::Stopping, .. }));
    eventually("the stop begins", refused).await;
    stopping
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_turn_that_runs_finish_and_keeps_what_waits() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let in_flight = [Step::Reach(GATE), Step::Wait(GATE), Step::Append(1)];
    let replied = tokio::spawn({
        let actor = actor.clone();
        async move { actor.ask(Script::new(in_flight)).await }
    });
    probe.reached(GATE, 1).await;
    actor.send(Script::new([Step::Append(2)])).await.unwrap();
    let stopping = begin_stop(&node).await;

    let refused = actor.send(Script::new([Step::Append(9)])).await.unwrap_err();
    assert!(matches!(&refused, SendError::NotAccepted { reason: Refusal::Stopping, .. }), "{refused:?}");
    assert!(matches!(actor.ask(Script::new([])).await, Err(AskError::NotAccepted(Refusal::Stopping))));
    assert!(matches!(actor.query(Read).await, Err(QueryError::NotAccepted(Refusal::Stopping))));
    probe.open(GATE);
    soon("the stop ends", stopping).await.unwrap().unwrap();
    assert_eq!(soon("the reply leaves", replied).await.unwrap().unwrap(), [1]);
    soon("a second stop is fine", node.stop()).await.unwrap();

    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 1);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1, 2]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_at_a_stop_get_a_typed_end() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let config = NodeConfig { mailbox_messages_max: 2, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let asked = tokio::spawn({
        let actor = actor.clone();
        async move { actor.ask(Script::new([Step::Append(1)])).await }
    });
    eventually("the ask is in the mailbox", || node.statistics().waiting == 2).await;
    let sender = tokio::spawn({
        let actor = actor.clone();
        async move { actor.send(Script::new([Step::Append(2)])).await }
    });
    let query = tokio::spawn({
        let actor = actor.clone();
        async move { actor.query(Read).await }
    });
    tokio::task::yield_now().await;
    let stopping = begin_stop(&node).await;
    probe.open(GATE);
    soon("the stop ends", stopping).await.unwrap().unwrap();
    let asked = soon("the ask ends", asked).await.unwrap();
    assert!(matches!(asked, Err(AskError::Stopped)), "{asked:?}");
    let sent = soon("the send ends", sender).await.unwrap();
    assert!(matches!(&sent, Err(SendError::NotAccepted { reason: Refusal::Stopping, .. })), "{sent:?}");
    // A query may be answered between the last turn and the end, or be lost with its activation.
    let answered = soon("the query ends", query).await.unwrap();
    let typed = matches!(&answered, Ok(_) | Err(QueryError::Lost | QueryError::NotAccepted(Refusal::Stopping)));
    assert!(typed, "{answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_send_ends_when_the_node_stops() {
    for _ in 0..10 {
        let folder = everpost_tests::folder();
        let probe = Probe::new();
        let node = workers(folder.path(), &probe).start().await.unwrap();
        let senders: Vec<_> = (0..16)
            .map(|number: u32| {
                let actor = node.actor::<Quick>(&(number % 4).to_string());
                tokio::spawn(async move {
                    let mut sent = 0_usize;
                    loop {
                        match actor.send(Script::new([Step::Append(number)])).await {
                            Ok(_) => sent += 1,
                            Err(error) => return (sent, error),
                        }
                    }
                })
            })
            .collect();
        eventually("there is load", || node.statistics().handled > 200).await;
        soon("the stop ends", node.stop()).await.unwrap();
        let (mut acknowledged, mut unknown) = (0, 0);
        for sender in senders {
            let (sent, error) = soon("every send ends", sender).await.unwrap();
            acknowledged += sent;
            match error {
                SendError::NotAccepted { .. } => {}
                SendError::OutcomeUnknown { source: NodeEnded::Stopped, .. } => unknown += 1,
                error => panic!("the store did not fail: {error:?}"),
            }
        }
        let node = workers(folder.path(), &probe).start().await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        let mut kept = 0;
        for key in 0..4 {
            kept += read(&node.actor::<Quick>(&key.to_string())).await.entries.len();
        }
        let possible = acknowledged..=acknowledged + unknown;
        assert!(possible.contains(&kept), "accepted and refused are both final: {kept} of {possible:?}");
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_the_drain_of_a_node_that_stops_ends() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::RetryAfter(1, 3_600_000)])).await.unwrap();
    eventually("it backs off", || node.statistics().failed == 1).await;
    let drained = tokio::spawn({
        let node = node.clone();
        async move { node.drained().await }
    });
    tokio::task::yield_now().await;
    soon("the stop ends", node.stop()).await.unwrap();
    let drained = tokio::time::timeout(Duration::from_secs(10), drained).await;
    drained.expect("nobody waits for ever for a node that has stopped").unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_ends_is_cut_off_without_a_counted_attempt() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let config = NodeConfig { stop_timeout: Duration::from_millis(50), attempts_max: 1, ..everpost_tests::config() };
    for life in 1..=3 {
        let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
        if life == 1 {
            let steps = [Step::Note, Step::Append(99), Step::Reach(GATE), Step::Wait(GATE), Step::Append(1)];
            node.actor::<Worker>("one").send(Script::new(steps)).await.unwrap();
        }
        probe.reached(GATE, life).await;
        let stopped = soon("the stop ends", node.stop()).await;
        assert!(matches!(stopped, Err(StopError::CutOff(1))), "{stopped:?}");
        assert_eq!((node.statistics().failed, node.statistics().waiting), (0, 1));
    }
    probe.open(GATE);
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert!(probe.seen().notes.iter().all(|note| note.attempt == 1));
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [99, 1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_backoff_does_not_wait_for_it() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let backoff = Backoff { first: Duration::from_secs(3600), cap: Duration::from_secs(3600) };
    let config = NodeConfig { backoff, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    for (key, step) in [("errs", Step::FailUpTo(1)), ("panics", Step::PanicUpTo(1))] {
        node.actor::<Worker>(key).send(Script::new([step])).await.unwrap();
    }
    eventually("both back off", || node.statistics().failed == 2).await;
    soon("the stop ends", node.stop()).await.unwrap();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 2);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_in_use_until_the_node_has_stopped() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    node.actor::<Worker>("one").ask(Script::new([Step::Append(1)])).await.unwrap();
    let second = workers(folder.path(), &probe).start().await;
    assert!(matches!(second, Err(StartError::Open(OpenError::InUse { .. }))), "{second:?}");
    node.stop().await.unwrap();
    // The stopped node is still there, and its store is free.
    let next = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(read(&next.actor::<Worker>("one")).await.entries, [1]);
    assert!(matches!(node.actor::<Worker>("one").query(Read).await, Err(QueryError::NotAccepted(Refusal::Stopping))));
    next.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_dropped_goes_on_working() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    drop(node);
    assert_eq!(actor.ask(Script::new([Step::Append(1)])).await.unwrap(), [1]);
    let second = workers(folder.path(), &probe).start().await;
    assert!(matches!(second, Err(StartError::Open(OpenError::InUse { .. }))), "{second:?}");
}

/// A node has threads of its own until the last of it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_node_that_has_ended_and_was_dropped() {
    let probe = Probe::new();
    // Its actors hold the probe, for as long as anything holds the node.
    let is_gone = || Arc::strong_count(&probe) == 1;
    let net = Net::new(&["left-east", "left-west"]).with("worker", &["left-west"]);
    let nodes = net.start_all(&probe).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    for number in 0..10 {
        nodes[0].actor::<Worker>(&number.to_string()).ask(Script::new([Step::Append(number)])).await.unwrap();
    }
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    stop(nodes).await;
    eventually("both are gone", is_gone).await;

    // One whose runtime goes is stopped by nobody.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let starting = runtime.spawn(net.seat("left-west").builder(&probe).start());
    let west = soon("it starts", starting).await.unwrap().unwrap();
    let _unheard =
        west.actor::<Worker>("one").send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).submit().await.unwrap();
    probe.reached(GATE, 1).await;
    runtime.shutdown_background();
    soon("it has failed", west.failed()).await;
    drop(west);
    eventually("it is gone", is_gone).await;
    // From here on the message ends, which waits in the store.
    probe.open(GATE);

    // Nor is one that had failed before.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let starting = runtime.spawn(net.seat("left-west").builder(&probe).start());
    let west = soon("it starts", starting).await.unwrap().unwrap();
    logs::plant("left-west", "handler failed", u32::MAX);
    west.actor::<Worker>("two").send(Script::new([Step::FailUpTo(1)])).await.unwrap();
    let failed = soon("it has failed", west.failed()).await;
    assert!(matches!(failed, NodeEnded::Panicked { .. }), "{failed}");
    drop(west);
    runtime.shutdown_background();
    eventually("it is gone", is_gone).await;
    // Its store and its port are free.
    logs::clear("left-west");
    stop([net.start("left-west", &probe).await]).await;
}
