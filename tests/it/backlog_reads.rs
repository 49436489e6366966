//! What waits where nothing is handled does not send what others are sent through the store.

use std::time::Duration;

use everpost::{Node, NodeConfig};
use everpost_tests::probe::Probe;
use everpost_tests::wait::eventually;
use everpost_tests::worker::{Quick, Script, Step, Worker, read, workers};

const WINDOW: usize = 1 << 20;
/// Many times the window.
const PARKED: u64 = 4000;
const OTHERS: u32 = 2000;

fn config() -> NodeConfig {
    NodeConfig { window_bytes_max: WINDOW, idle_after: Duration::from_secs(3600), ..everpost_tests::config() }
}

fn script(number: u32) -> Script {
    Script::padded([Step::Count(number)], 1000)
}

async fn send(node: &Node, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        drop(node.actor::<Worker>("busy").send(script(number)).submit().await.unwrap());
        // So that little of its own waits.
        eventually("it is handled", || node.statistics().waiting <= usize::try_from(PARKED).unwrap() + 50).await;
    }
}

/// They filled the one window, and each message of any other was read from the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_actors_that_are_paused_takes_no_memory_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(config()).start().await.unwrap();
    node.pause_type::<Quick>("for the backlog").await.unwrap();
    let parked = node.actor::<Quick>("parked");
    parked.send(script(1)).submit().await.unwrap().accepted().await.unwrap();
    for number in 2..=PARKED {
        drop(parked.send(script(u32::try_from(number).unwrap())).submit().await.unwrap());
    }
    send(&node, 1..=1).await;
    let busy = node.actor::<Worker>("busy");
    eventually("its state is in memory", || node.statistics().handled == 1).await;
    let before = node.store_statistics().records_read;
    send(&node, 2..=OTHERS).await;
    eventually("all are handled", || node.statistics().handled == u64::from(OTHERS)).await;
    let records_read = node.store_statistics().records_read - before;
    assert_eq!(records_read, 0, "records were read for {OTHERS} messages");
    assert_eq!(read(&busy).await.last, OTHERS);

    // What was left to the store is read when it is its turn.
    node.resume_type::<Quick>().await.unwrap();
    eventually("they go on", || node.statistics().handled == u64::from(OTHERS) + PARKED).await;
    let log = read(&parked).await;
    assert_eq!((log.count, log.jumps), (PARKED, 0));
    node.stop().await.unwrap();
}
