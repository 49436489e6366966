//! Messages to actors that are in the store only: what it takes to have them there.

use everpost::Node;
use everpost_tests::probe::Probe;
use everpost_tests::wait::eventually;
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const ACTORS: u64 = 1500;
/// Those of the node, of the test and of its runtimes. There were 512 more for what blocks.
const MORE_THREADS_MAX: usize = 8;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

async fn send_to_each(node: &Node, number: u32) {
    for key in 0..ACTORS {
        let receipt =
            node.actor::<Worker>(&key.to_string()).send(Script::new([Step::Count(number)])).submit().await.unwrap();
        drop(receipt);
    }
}

/// Each read of a record had a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_actors_that_come_back_into_memory_need_no_threads_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    send_to_each(&node, 1).await;
    eventually("all have a state", || node.statistics().handled == ACTORS).await;
    node.stop().await.unwrap();

    let node = workers(folder.path(), &probe).start().await.unwrap();
    let before = threads();
    let mut most = before;
    send_to_each(&node, 2).await;
    eventually("all have come back", || {
        most = most.max(threads());
        node.statistics().handled == ACTORS
    })
    .await;
    assert!(most <= before + MORE_THREADS_MAX, "{most} threads, where there were {before}");
    let log = read(&node.actor::<Worker>("7")).await;
    assert_eq!((log.count, log.last, log.jumps), (2, 2, 0));
    node.stop().await.unwrap();
}
