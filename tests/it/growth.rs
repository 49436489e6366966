//! Waiting costs memory for what waits: none for how often it is polled, and none is left when it is dropped.

use std::future::{Future, IntoFuture};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use everpost::{Group, Node, NodeConfig, Receipt, Restart, Schedule};
use everpost_tests::memory::{measure, measured, taken};
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::stage::{Act, Stage};
use everpost_tests::stall::{self, Disk};
use everpost_tests::worker::{Quick, Read, Script, Step, Worker};

const TIMES: usize = 60_000;
/// How many rounds of them.
const ROUNDS_MAX: usize = 3;
/// Some are used up before, by what is made once.
const BEFORE: usize = 3_000;
/// 17 bytes each time. What is kept for each is more; what is not is what the allocator rounds up, and other threads
/// take.
const GROWTH_MAX: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);
const GATE: u32 = 0;

/// A waker as no other: each poll may come from another task.
struct Fresh;

impl Wake for Fresh {
    fn wake(self: Arc<Self>) {}
}

fn poll_once<F: Future>(what: &str, future: std::pin::Pin<&mut F>) {
    let waker = Waker::from(Arc::new(Fresh));
    let polled = future.poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending), "{what} is to wait");
}

/// Does it so often that what it leaves each time is seen. What is left comes again; what other threads of the process
/// take meanwhile does not, so one of a few rounds has to be without.
fn flat(what: &str, mut once: impl FnMut()) {
    (0..BEFORE).for_each(|_| once());
    let mut round = || {
        let before = taken();
        (0..TIMES).for_each(|_| once());
        taken().saturating_sub(before)
    };
    let mut grown = Vec::new();
    while grown.last().is_none_or(|grown| *grown >= GROWTH_MAX) {
        assert!(grown.len() < ROUNDS_MAX, "{what}: {TIMES} times take {grown:?} bytes");
        grown.push(round());
    }
    eprintln!("{what}: {grown:?} bytes");
}

/// Polls one again and again. On a thread of its own: the budget of a tokio task would be spent.
fn polled<F: IntoFuture<IntoFuture: Send>>(what: &str, make: impl FnOnce() -> F + Send) {
    let polling = || {
        let mut future = pin!(make().into_future());
        flat(&format!("{what}, polled"), || poll_once(what, future.as_mut()));
    };
    std::thread::scope(|scope| scope.spawn(polling).join()).expect("it waits, and takes no memory");
}

/// Makes one, polls it and drops it, again and again.
fn dropped<F: IntoFuture<IntoFuture: Send>>(what: &str, make: impl Fn() -> F + Sync) {
    let dropping = || flat(&format!("{what}, dropped"), || poll_once(what, pin!(make().into_future())));
    std::thread::scope(|scope| scope.spawn(dropping).join()).expect("it waits, and takes no memory");
}

fn script() -> Script {
    Script::new([])
}

async fn east(folder: &Path, probe: &Arc<Probe>) -> Node {
    let config = NodeConfig {
        mailbox_messages_max: 4,
        outbox_messages_max: 4,
        queries_max: 16,
        stop_timeout: HOUR,
        send_timeout: HOUR,
        ask_timeout: HOUR,
        ..everpost_tests::config()
    };
    // The west is never there.
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]).config(&config);
    let mut seat = net.seat("east").clone();
    seat.folder = folder.to_owned();
    seat.builder(probe).start().await.unwrap()
}

async fn waits_for_a_group(node: &Node) {
    let stage = Stage::new();
    let group = Group::one_for_one("group")
        .child(stage.task(Restart::Permanent, "slow").waits_until_ready(HOUR).stop_within(HOUR));
    let group = node.supervise(group).await.unwrap();
    stage.sees("+slow").await;
    stage.tell("slow", Act::Hang);
    polled("Supervised::started", || group.started());
    dropped("Supervised::started", || group.started());
    polled("Supervised::ended", || group.ended());
    dropped("Supervised::ended", || group.ended());
}

/// 88 bytes stayed of each wait for a delivery that was given up.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_takes_no_memory_for_being_polled_and_leaves_none_when_it_is_dropped() {
    let Some(folder) = measured() else {
        let folder = everpost_tests::folder();
        return measure(
            "growth::whatever_waits_takes_no_memory_for_being_polled_and_leaves_none_when_it_is_dropped",
            folder.path(),
            [],
        );
    };
    let probe = Probe::new();
    let node = east(&folder, &probe).await;
    let (away, here, busy) = (node.actor::<Worker>("one"), node.actor::<Quick>("one"), node.actor::<Quick>("busy"));

    let mut receipts: Vec<Receipt> = Vec::new();
    for _ in 0..4 {
        receipts.push(away.send(script()).submit().await.unwrap());
    }
    polled("Receipt::delivered", || receipts[0].delivered());
    dropped("Receipt::delivered", || receipts[0].delivered());
    polled("Receipt::processed of a message to another node", || receipts.remove(0).processed());
    polled("Post to a full outbox", || away.send(script()));
    dropped("Post to a full outbox", || away.send(script()));
    dropped("Ask of another node with a full outbox", || away.ask(script()));

    let _ = busy.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).submit().await.unwrap();
    probe.reached(GATE, 1).await;
    polled("Query", || busy.query(Read));
    dropped("Query", || busy.query(Read));

    node.pause_type::<Quick>("to wait").await.unwrap();
    let receipt = here.send(script()).submit().await.unwrap();
    polled("Receipt::processed", || receipt.processed());
    polled("Ask", || here.ask(script()));
    for _ in 0..2 {
        let _ = here.send(script()).submit().await.unwrap();
    }
    polled("SendBuilder to a full mailbox", || here.send(script()));
    dropped("SendBuilder to a full mailbox", || here.send(script()));
    dropped("SendBuilder::submit to a full mailbox", || here.send(script()).submit());
    dropped("Ask of a full mailbox", || here.ask(script()));

    waits_for_a_group(&node).await;

    polled("Node::drained", || node.drained());
    dropped("Node::drained", || node.drained());
    polled("Node::failed", || node.failed());
    dropped("Node::failed", || node.failed());
    polled("Node::stop", || node.stop());
    dropped("Node::stop", || node.stop());
    // What does not end by itself goes with its runtime.
}

/// 24 bytes stayed of each poll, until a sync ended.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_for_a_disk_that_does_not_answer_takes_no_memory_for_it() {
    let Some(folder) = measured() else {
        let (folder, disk) = (everpost_tests::folder(), Disk::new());
        return measure(
            "growth::whatever_waits_for_a_disk_that_does_not_answer_takes_no_memory_for_it",
            folder.path(),
            disk.environment(),
        );
    };
    let probe = Probe::new();
    let node = east(&folder, &probe).await;
    let here = node.actor::<Quick>("one");
    here.send(script()).await.unwrap();
    stall::set(true);
    let receipt = here.send(script()).submit().await.unwrap();
    polled("Receipt::accepted", || receipt.accepted());
    dropped("Receipt::accepted", || receipt.accepted());
    polled("SendBuilder", || here.send(script()));
    polled("ActorHandle::pause", || here.pause("to wait"));
    polled("ActorHandle::schedule", || here.schedule(script(), Schedule::after(HOUR)));
    polled("Node::pause_type", || node.pause_type::<Quick>("to wait"));
    stall::set(false);
    receipt.accepted().await.unwrap();
}
