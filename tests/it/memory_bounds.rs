//! What a node takes of memory while it works off what has waited in its store: no more than its bounds say, however it
//! comes to do so, and nothing stands still because of them.

use std::path::Path;
use std::time::Duration;

use everpost::{Node, NodeConfig, StopError};
use everpost_tests::memory::{Peak, measure, measured, taken};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon, until};
use everpost_tests::worker::{Quick, Script, Step, Worker, worker, workers};

const GATE: u32 = 0;
const MIB: u64 = 1 << 20;
const WINDOW: u64 = 4 * MIB;
/// What is in no window: code and stacks, the overlay of the store, what the allocator has not given back.
const BESIDES: u64 = 28 * MIB;
const ADDRESSES: u64 = 600;
/// Each has so many messages of 64 KiB, 75 MiB in all.
const EACH: u64 = 2;
/// It is read and written byte by byte.
const LONG: Duration = Duration::from_secs(600);

fn config() -> NodeConfig {
    NodeConfig { window_bytes_max: WINDOW as usize, ..everpost_tests::config() }
}

/// Leaves a store in which the backlog waits.
async fn fill(folder: &Path, is_paused: bool) {
    let probe = Probe::new();
    let config = NodeConfig { stop_timeout: Duration::from_millis(100), ..config() };
    let node = workers(folder, &probe).config(config).start().await.unwrap();
    if is_paused {
        node.pause_type::<Worker>("for the backlog").await.unwrap();
    }
    for number in 0..ADDRESSES * EACH {
        let message = Script::padded([Step::Wait(GATE), Step::Count(1)], 64 << 10);
        let actor = node.actor::<Worker>(&(number % ADDRESSES).to_string());
        let receipt = actor.send(message).submit().await.unwrap();
        if number + 1 == ADDRESSES * EACH {
            receipt.accepted().await.unwrap();
        }
    }
    assert_eq!(node.statistics().waiting as u64, ADDRESSES * EACH);
    let stopped = soon("it stops", node.stop()).await;
    assert!(matches!(stopped, Ok(()) | Err(StopError::CutOff(_))), "{stopped:?}");
}

async fn start(folder: &Path) -> Node {
    let probe = Probe::new();
    probe.open(GATE);
    workers(folder, &probe).config(config()).start().await.unwrap()
}

async fn worked_off(node: &Node, before: u64, peak: &Peak) {
    until("it is worked off", LONG, async || node.statistics().handled == ADDRESSES * EACH).await;
    let more = peak.bytes() - before;
    eprintln!("{} MiB more at the peak", more / MIB);
    assert!(more < WINDOW + BESIDES, "{} MiB more, with a window of {} MiB", more / MIB, WINDOW / MIB);
    node.stop().await.unwrap();
}

/// A node that started with a backlog of gigabytes took as much memory, whatever its window.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_takes_no_more_memory_than_the_window_says_after_a_start() {
    let Some(folder) = measured() else {
        let folder = everpost_tests::folder();
        fill(folder.path(), false).await;
        return measure(
            "memory_bounds::a_backlog_takes_no_more_memory_than_the_window_says_after_a_start",
            folder.path(),
            [],
        );
    };
    let (before, peak) = (taken(), Peak::watch());
    let node = start(&folder).await;
    worked_off(&node, before, &peak).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_takes_no_more_memory_than_the_window_says_when_its_type_is_resumed() {
    let Some(folder) = measured() else {
        let folder = everpost_tests::folder();
        fill(folder.path(), true).await;
        return measure(
            "memory_bounds::a_backlog_takes_no_more_memory_than_the_window_says_when_its_type_is_resumed",
            folder.path(),
            [],
        );
    };
    let node = start(&folder).await;
    let (before, peak) = (taken(), Peak::watch());
    node.resume_type::<Worker>().await.unwrap();
    worked_off(&node, before, &peak).await;
}

/// Waits until so many are handled. Returns the most activations that were there at a time.
async fn most_activations(node: &Node, handled: usize) -> usize {
    let mut most = 0;
    eventually("all are handled", || {
        most = most.max(node.statistics().activations);
        node.statistics().handled as usize == handled
    })
    .await;
    most
}

/// Far more than may be, and far fewer than would be there at once without a bound.
const MAILBOXES: usize = 3000;
const ACTIVATIONS_MAX: usize = 50;
/// On a machine that stands still for seconds some are let in above the bound, since nothing moves.
const MOST: usize = 4 * ACTIVATIONS_MAX;

fn bounded() -> NodeConfig {
    NodeConfig { activations_max: ACTIVATIONS_MAX, ..everpost_tests::config() }
}

/// 72,000 at a bound of 10,000.
#[tokio::test(flavor = "multi_thread")]
async fn when_a_type_is_resumed_no_more_activations_are_there_than_may_be() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).config(bounded()).start().await.unwrap();
    for _ in 0..2 {
        node.pause_type::<Worker>("for the backlog").await.unwrap();
        for key in 0..MAILBOXES {
            let _ =
                node.actor::<Worker>(&key.to_string()).send(Script::new([Step::Work(1000)])).submit().await.unwrap();
        }
        let handled = node.statistics().handled as usize + MAILBOXES;
        node.resume_type::<Worker>().await.unwrap();
        let most = most_activations(&node, handled).await;
        assert!(most <= MOST, "{most} activations at a time");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_commit_rings_many_mailboxes_no_more_activations_are_there_than_may_be() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).config(bounded()).start().await.unwrap();
    // So many are idle already, and have to make room.
    for key in 0..ACTIVATIONS_MAX {
        node.actor::<Worker>(&format!("idle {key}")).ask(Script::new([])).await.unwrap();
    }
    let sends: Vec<_> =
        (0..MAILBOXES).map(|key| Step::Send(worker(&key.to_string()), vec![Step::Work(1000)])).collect();
    node.actor::<Worker>("sender").send(Script::new(sends)).await.unwrap();
    let most = most_activations(&node, ACTIVATIONS_MAX + 1 + MAILBOXES).await;
    assert!(most <= MOST, "{most} activations at a time");
    node.stop().await.unwrap();
}

/// Whoever is asked from a turn cannot wait until that turn leaves, nor can a handler that another one waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_asks_does_not_wait_for_the_bounds() {
    const ASKING: usize = 200;
    let folder = everpost_tests::folder();
    let config = NodeConfig { activations_max: 1, window_bytes_max: 0, ..everpost_tests::config() };
    let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
    node.pause_type::<Worker>("for the backlog").await.unwrap();
    for number in 0..ASKING {
        let asks = Step::Ask(worker(&format!("asked {number}")), vec![Step::Append(1)]);
        let message = Script::padded([asks], 100 << 10);
        let _ = node.actor::<Worker>(&number.to_string()).send(message).submit().await.unwrap();
    }
    node.resume_type::<Worker>().await.unwrap();
    // With a wait of a second for each it would not be.
    eventually("all are handled", || node.statistics().handled as usize == 2 * ASKING).await;
    assert_eq!(node.statistics().failed, 0, "no query was too late");
    node.stop().await.unwrap();
}

/// It would wait behind all of the other type otherwise, which came before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_with_little_to_do_does_not_wait_behind_the_backlog_of_another() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { activations_max: 1, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let first = Script::new([Step::Reach(GATE), Step::Wait(GATE), Step::Note]);
    node.actor::<Worker>("first").send(first).await.unwrap();
    probe.reached(GATE, 1).await;
    for key in 0..100 {
        let _ = node.actor::<Worker>(&key.to_string()).send(Script::new([Step::Note])).submit().await.unwrap();
    }
    node.actor::<Quick>("rare").send(Script::new([Step::Note])).await.unwrap();
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    let notes = probe.seen().notes;
    let place = notes.iter().position(|note| note.address.ends_with("/rare")).expect("it was handled");
    // It would be the second, unless all of this took so long that more were let in.
    assert!(place < 50, "{place} of {} were handled before it", notes.len());
    node.stop().await.unwrap();
}
