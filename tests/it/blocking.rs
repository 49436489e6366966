//! Handlers that do not give their threads back are named, and hold up other handlers only.

use std::time::Duration;

use everpost::{Schedule, StopError};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers_named};

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
    let receipt = node.actor::<Worker>("greedy").send(script).submit().await.unwrap();
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

/// They all stood still for as long as the handler ran: the link broke when its idle timeout was over, and the stop
/// waited for ever.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_keep_every_thread_of_the_runtime_hold_up_no_link_no_timer_no_receipt_and_no_stop() {
    let (probe, mut net) = (Probe::new(), Net::new(&["busy-east", "busy-west"]).with("worker", &["busy-east"]));
    net.seat_mut("busy-east").config.stop_timeout = Duration::from_millis(50);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let starting = runtime.spawn(net.seat("busy-east").builder(&probe).start());
    let east = soon("it starts", starting).await.unwrap().unwrap();
    let greedy = Script::new([Step::Reach(BEGUN), Step::Spin(GATE), Step::Append(1)]);
    east.actor::<Worker>("greedy").send(greedy).await.unwrap();
    probe.reached(BEGUN, 1).await;

    // A peer that comes now is let in, and its messages are stored.
    let west = net.start("busy-west", &probe).await;
    linked(&[&east, &west]).await;
    let receipt = west.actor::<Worker>("calm").send(Script::new([Step::Append(2)])).submit().await.unwrap();
    soon("it is stored on the other node", receipt.delivered()).await.unwrap();
    let calm = east.actor::<Worker>("calm");
    soon("it is stored", calm.send(Script::new([Step::Append(3)])).into_future()).await.unwrap();
    let waiting = east.statistics().waiting;
    calm.schedule(Script::new([Step::Append(4)]), Schedule::after(Duration::ZERO)).await.unwrap();
    let fired = || east.statistics().timers == 0 && east.statistics().waiting == waiting + 1;
    eventually("the timer fires", fired).await;
    let stopped = soon("it stops", east.stop()).await.unwrap_err();
    assert!(matches!(stopped, StopError::CutOff(_)), "{stopped}");

    probe.open(GATE);
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    let east = net.start("busy-east", &probe).await;
    soon("it drains", east.drained()).await.unwrap();
    assert_eq!(read(&east.actor::<Worker>("calm")).await.entries, [2, 3, 4]);
    assert_eq!(read(&east.actor::<Worker>("greedy")).await.entries, [1]);
    stop([east, west]).await;
}
