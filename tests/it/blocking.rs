//! A handler that does not give its thread back is named, although it starves every task of the node.

use everpost_tests::logs;
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, workers_named};

const GATE: u32 = 0;
const BEGUN: u32 = 1;

/// Links, timers and `main` stood still for as long as the handlers ran, and nothing said which.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_keeps_the_last_thread_of_the_runtime_is_named_with_its_message_and_when_it_is_over() {
    let name = "blocked";
    logs::keep();
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    // The node has one thread, and the test has others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node =
        soon("it starts", runtime.spawn(workers_named(name, folder.path(), &probe).start())).await.unwrap().unwrap();
    let script = Script::new([Step::Reach(BEGUN), Step::Spin(GATE), Step::Append(1)]);
    let receipt = node.actor::<Worker>("greedy").submit(script).await.unwrap();
    let id = receipt.id().to_string();
    probe.reached(BEGUN, 1).await;
    let line = logs::line(name, "handler blocks", "greedy").await;
    let fields = ["actor", "kind", "message_id", "what"].map(|field| line.field(field).to_owned());
    assert_eq!(fields, ["worker/greedy", "script", &id, "a message"], "{}", line.text());
    assert_eq!(line.level, tracing::Level::WARN);
    probe.open(GATE);
    soon("it is handled", receipt.processed()).await.unwrap();
    eventually("it is told that it is over", || {
        logs::lines(name, "handler blocks").iter().any(|line| line.text().contains("it is over"))
    })
    .await;
    soon("it stops", node.stop()).await.unwrap();
    runtime.shutdown_background();
}
