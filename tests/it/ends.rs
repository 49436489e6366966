//! When a node ends, everybody who waits for something of it is told: those who waited before, and those who come
//! after.

use std::time::Duration;

use everpost::{NodeConfig, NodeEnded, ProcessedError, StopError, StoreConfig};
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::records;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Read, Script, Step, Worker, read, workers};

const GATE: u32 = 0;
const DONE: u32 = 1;

/// A second stop used to return at once, and to close the store under the turn that runs.
#[tokio::test(flavor = "multi_thread")]
async fn two_stops_at_once_let_the_turn_that_runs_finish_and_say_the_same() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let steps = [Step::Reach(GATE), Step::Wait(GATE), Step::Reach(DONE), Step::Append(1)];
    let asked = tokio::spawn(async move { actor.ask(Script::new(steps)).await });
    probe.reached(GATE, 1).await;
    let mut stops = Vec::new();
    for _ in 0..3 {
        let node = node.clone();
        stops.push(tokio::spawn(async move { node.stop().await }));
    }
    tokio::task::yield_now().await;
    assert!(!stops.iter().any(tokio::task::JoinHandle::is_finished), "the turn is in flight");
    probe.open(GATE);
    for stop in stops {
        soon("each stop ends", stop).await.unwrap().unwrap();
    }
    assert_eq!(soon("the ask ends", asked).await.unwrap().unwrap(), [1], "the turn that runs was to finish and commit");
    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 0);
    node.stop().await.unwrap();
    assert_eq!(probe.seen().times(DONE), 1, "it ran twice");
}

/// A stop used to end half-way with the future of its caller, and the next one to close the store under the turn that
/// runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_dropped_goes_on_and_the_next_one_waits_for_it() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let steps = [Step::Reach(GATE), Step::Wait(GATE), Step::Reach(DONE), Step::Append(1)];
    let asked = tokio::spawn(async move { actor.ask(Script::new(steps)).await });
    probe.reached(GATE, 1).await;
    let dropped = tokio::time::timeout(Duration::from_millis(20), node.stop()).await;
    assert!(dropped.is_err(), "the turn is in flight");
    let dropped = tokio::time::timeout(Duration::from_millis(20), node.stop()).await;
    assert!(dropped.is_err(), "the turn is in flight: {dropped:?}");
    probe.open(GATE);
    // Nobody calls it: the node ends by itself, and its store is free.
    soon("the ask ends", asked).await.unwrap().unwrap();
    records::free(folder.path()).await;
    let next = workers(folder.path(), &probe).start().await.unwrap();
    soon("it says so afterwards, too", node.stop()).await.unwrap();
    assert_eq!(read(&next.actor::<Worker>("one")).await.entries, [1]);
    next.stop().await.unwrap();
    assert_eq!(probe.seen().times(DONE), 1, "it ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_was_not_clean_says_so_to_everybody() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { stop_timeout: Duration::from_millis(50), ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    node.actor::<Worker>("one").send(Script::new([Step::Reach(GATE), Step::Hang])).await.unwrap();
    probe.reached(GATE, 1).await;
    let other = node.clone();
    let (first, second) = soon("both end", async { tokio::join!(node.stop(), other.stop()) }).await;
    let third = soon("it is known afterwards", node.stop()).await;
    for outcome in [first, second, third] {
        assert!(matches!(outcome, Err(StopError::CutOff(1))), "{outcome:?}");
    }
}

/// These used to wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_asked_after_the_stop_is_told_the_end() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.pause("why not").await.unwrap();
    let early = actor.send(Script::new([Step::Append(1)])).submit().await.unwrap();
    let late = actor.send(Script::new([Step::Append(1)])).submit().await.unwrap();
    soon("it is accepted", late.accepted()).await.unwrap();
    let early = tokio::spawn(early.processed());
    eventually("it waits", || node.statistics().waiting == 2).await;
    soon("it stops", node.stop()).await.unwrap();
    let early = soon("it ends", early).await.unwrap();
    assert!(matches!(early, Err(ProcessedError::Ended(NodeEnded::Stopped))), "{early:?}");
    soon("it was accepted", late.accepted()).await.unwrap();
    let late = soon("it ends", late.processed()).await;
    assert!(matches!(late, Err(ProcessedError::Ended(NodeEnded::Stopped))), "{late:?}");
    assert!(soon("it ends", node.drained()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_a_message_to_another_node_is_told_the_end() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let actor = east.actor::<Worker>("one");
    let receipt = actor.send(Script::new([Step::Append(1)])).submit().await.unwrap();
    soon("it is accepted", receipt.accepted()).await.unwrap();
    soon("it stops", east.stop()).await.unwrap();
    let delivered = soon("it ends", receipt.delivered()).await;
    assert!(delivered.is_err(), "{delivered:?}");
    let processed = soon("it ends", receipt.processed()).await;
    assert!(matches!(processed, Err(ProcessedError::Ended(NodeEnded::Stopped))), "{processed:?}");
    assert!(soon("it ends", actor.query(Read).into_future()).await.is_err());
}

/// The disk is full, which needs a small file system: root only.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_asked_after_the_store_has_failed_is_told_the_end() {
    let folder = everpost_tests::folder();
    let mount = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).arg(folder.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs"]) {
        eprintln!("skipped, needs root");
        return;
    }
    let probe = Probe::new();
    let store = StoreConfig { disk_headroom_bytes: 0, ..StoreConfig::default() };
    let config = NodeConfig { store, ..everpost_tests::config() };
    std::fs::write(folder.path().join("ballast"), vec![1; 3 << 20]).unwrap();
    let node = workers(&folder.path().join("store"), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.pause("why not").await.unwrap();
    let receipt = actor.send(Script::new([Step::Append(1)])).submit().await.unwrap();
    soon("it is accepted", receipt.accepted()).await.unwrap();
    while actor.send(Script::padded([Step::Append(2)], 20_000)).await.is_ok() {}
    soon("the store fails", node.failed()).await;
    let refused = || actor.send(Script::new([])).try_submit().is_err();
    eventually("it takes nothing more", refused).await;
    let processed = soon("it ends", receipt.processed()).await;
    let stopped = soon("it stops", node.stop()).await;
    mount("umount", &["--lazy"]);
    assert!(matches!(processed, Err(ProcessedError::Ended(NodeEnded::Failed(_)))), "{processed:?}");
    assert!(matches!(stopped, Err(StopError::Store(_))), "{stopped:?}");
}
