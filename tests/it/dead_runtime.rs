//! A node whose tokio runtime has gone is a failed node: it used to accept everything, and to handle nothing.

use everpost::{Node, StartError};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Read, Script, Step, Worker, read, workers};

/// Starts a node on a runtime of its own, which is gone when this returns.
fn started_elsewhere(
    folder: &std::path::Path,
    probe: &std::sync::Arc<Probe>,
    first: Vec<Step>,
) -> (Node, everpost::Receipt) {
    let builder = workers(folder, probe);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let node = builder.start().await.unwrap();
            let receipt = node.actor::<Worker>("one").send(Script::new(first)).submit().await.unwrap();
            receipt.accepted().await.unwrap();
            (node, receipt)
        })
    })
    .join()
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_runtime_has_gone_refuses_everything_and_tells_everybody() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let (node, receipt) = started_elsewhere(folder.path(), &probe, vec![Step::Wait(0), Step::Append(1)]);
    let actor = node.actor::<Worker>("one");
    eventually("it refuses", || actor.send(Script::new([])).try_submit().is_err()).await;
    let refused = soon("a send ends", actor.send(Script::new([])).into_future()).await.unwrap_err();
    assert!(refused.to_string().contains("runtime"), "{refused}");
    soon("an ask ends", actor.ask(Script::new([])).into_future()).await.unwrap_err();
    soon("a query ends", actor.query(Read).into_future()).await.unwrap_err();
    let ended = soon("the receipt ends", receipt.processed()).await.unwrap_err();
    assert!(ended.to_string().contains("runtime"), "{ended}");
    soon("nothing drains", node.drained()).await.unwrap_err();
    let failed = soon("it has failed", node.failed()).await;
    assert!(failed.to_string().contains("runtime"), "{failed}");
    let stopped = soon("a stop ends", node.stop()).await.unwrap_err();
    assert!(stopped.to_string().contains("runtime"), "{stopped}");
    // Its store is free, and nothing is lost.
    probe.open(0);
    let node = workers(folder.path(), &probe).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_while_the_runtime_goes_is_told() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let builder = workers(folder.path(), &probe);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let node = runtime.spawn(builder.start()).await.unwrap().unwrap();
    let asked = tokio::spawn({
        let actor = node.actor::<Worker>("one");
        async move { actor.ask(Script::new([Step::Reach(0), Step::Wait(0), Step::Append(1)])).await }
    });
    probe.reached(0, 1).await;
    let (drained, failed) = (node.clone(), node.clone());
    let drained = tokio::spawn(async move { drained.drained().await });
    let failed = tokio::spawn(async move { failed.failed().await });
    tokio::task::yield_now().await;
    runtime.shutdown_background();
    soon("the ask ends", asked).await.unwrap().unwrap_err();
    soon("the drain ends", drained).await.unwrap().unwrap_err();
    soon("it has failed", failed).await.unwrap();
    soon("a stop ends", node.stop()).await.unwrap_err();
}

/// Handlers are bounded by timers: each would have failed its message.
#[test]
fn a_runtime_without_timers_starts_no_node() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let refused = runtime.block_on(workers(folder.path(), &probe).start()).unwrap_err();
    assert!(matches!(refused, StartError::NoTimers), "{refused}");
}
