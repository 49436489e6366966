//! A store that is dropped and opened again in a node that lives, as after the death of its process: nothing that was
//! acknowledged is lost or doubled, what was held before goes on, and nothing is left behind.

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everpost::{
    Actor, AskError, Child, Group, Handlers, Message, Node, NodeEnded, ProcessedError, QueryError, QueryHandler,
    Refusal, ReopenError, SendError, StartError, Supervised,
};
use everpost_tests::load::{STREAMS, actors, look, try_client};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::oracle::Oracle;
use everpost_tests::probe::Probe;
use everpost_tests::seeds::seeds;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::network;

/// A store is dropped after its clients have seen so much, at most.
const EVENTS_MAX: u64 = 400;
/// How long a client waits for the store to be there at most, before it tries.
const SOON: Duration = Duration::from_millis(20);
const GATE: u32 = 0;

/// Clients that go on, whatever becomes of the stores.
struct Load {
    oracle: Mutex<Oracle>,
    seen: AtomicU64,
    over: AtomicBool,
    /// Told when a store was opened again.
    reopened: Notify,
}

impl Load {
    /// Begins the client of each stream; the streams are shared out among the nodes.
    fn begin(nodes: &[Node]) -> (Arc<Self>, JoinSet<()>) {
        let load = Arc::new(Self {
            oracle: Mutex::default(),
            seen: AtomicU64::new(0),
            over: AtomicBool::new(false),
            reopened: Notify::new(),
        });
        let mut clients = JoinSet::new();
        for stream in 0..STREAMS {
            let (load, node) = (Arc::clone(&load), nodes[stream as usize % nodes.len()].clone());
            clients.spawn(async move { load.go_on(&node, stream).await });
        }
        (load, clients)
    }

    async fn go_on(&self, node: &Node, stream: u32) {
        while !self.over.load(Ordering::SeqCst) {
            let (_, next) = self.oracle.lock().unwrap().killed_with([stream])[0];
            let ended = try_client(node, stream, next..=next + 50, |event| {
                self.oracle.lock().unwrap().saw(&event);
                self.seen.fetch_add(1, Ordering::SeqCst);
            });
            if ended.await.is_err() {
                // Nothing but that a store is opened again ends a client; it may be so by now.
                let _ = timeout(SOON, self.reopened.notified()).await;
            }
        }
    }

    async fn reopen(&self, node: &Node) {
        soon("it is opened again", node.reopen()).await.unwrap();
        self.reopened.notify_waiters();
    }

    async fn has_seen(&self, more: u64) {
        let until = self.seen.load(Ordering::SeqCst) + more;
        eventually("the load goes on", || self.seen.load(Ordering::SeqCst) >= until).await;
    }

    async fn end(&self, mut clients: JoinSet<()>) {
        self.over.store(true, Ordering::SeqCst);
        while let Some(ended) = soon("the clients end", clients.join_next()).await {
            ended.unwrap();
        }
    }
}

/// What a process has of these.
fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// A group whose one task counts how often it was started.
async fn supervise(node: &Node, name: &str, starts: &Arc<AtomicUsize>) -> Supervised {
    let starts = Arc::clone(starts);
    let waiting = Child::permanent("waiting", move |context| {
        starts.fetch_add(1, Ordering::SeqCst);
        async move {
            context.stopping().await;
            Ok(())
        }
    });
    node.supervise(Group::one_for_one(name).child(waiting)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_opened_again_a_hundred_times_under_load_loses_nothing_and_leaves_nothing() {
    for seed in seeds("reopening::a_store_that_is_opened_again_a_hundred_times_under_load_loses_nothing", 1) {
        let (folder, mut random) = (everpost_tests::folder(), seed.random());
        let node = actors(Node::builder("node", folder.path()).config(everpost_tests::config()));
        let node = node.start().await.unwrap();
        let starts = Arc::new(AtomicUsize::new(0));
        let group = supervise(&node, "group", &starts).await;
        let (load, clients) = Load::begin(std::slice::from_ref(&node));
        let mut before = (0, 0);
        for round in 0..100 {
            let events = if random.once_in(4) { random.below(4) } else { random.below(EVENTS_MAX) };
            load.has_seen(events).await;
            load.reopen(&node).await;
            if round == 9 {
                before = (count("task"), count("fd"));
            }
        }
        load.has_seen(EVENTS_MAX).await;
        // One that was to be started again when the next opening came was not.
        let started = starts.load(Ordering::SeqCst);
        assert!(started > 50, "its group was started {started} times");
        load.reopen(&node).await;
        eventually("its group starts again", || starts.load(Ordering::SeqCst) > started).await;
        // Threads that block for somebody come and go; those of a hundred stores would be some hundred.
        let after = (count("task"), count("fd"));
        assert!(after.0 <= before.0 + 16 && after.1 <= before.1 + 8, "threads and descriptors: {before:?}, {after:?}");
        load.end(clients).await;
        soon("the group stops", group.stop()).await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        node.stop().await.unwrap();
        let found = look(folder.path()).await;
        let oracle = load.oracle.lock().unwrap();
        oracle.judge(&found).unwrap_or_else(|violation| panic!("seed {}: {violation}", seed.value()));
        let (sent, known) = oracle.counts();
        eprintln!("seed {}: {sent} sent, {known} known, {before:?}, {after:?}", seed.value());
        assert!(known > 1_000, "too little happened: {known} known to be durable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_work_again_when_either_node_opens_its_store_again() {
    for seed in seeds("reopening::links_work_again_when_either_node_opens_its_store_again", 1) {
        let (net, probe, mut random) = (Net::new(&["east", "west"]), Probe::new(), seed.random());
        let nodes = net.start_all(&probe).await;
        let all: Vec<&Node> = nodes.iter().collect();
        let address = nodes[0].local_address();
        linked(&all).await;
        let (load, clients) = Load::begin(&nodes);
        for _ in 0..10 {
            load.has_seen(random.below(EVENTS_MAX)).await;
            let which = usize::try_from(random.below(2)).unwrap();
            load.reopen(&nodes[which]).await;
        }
        linked(&all).await;
        assert_eq!(nodes[0].local_address(), address);
        load.has_seen(EVENTS_MAX).await;
        load.end(clients).await;
        settled(&all).await;
        let found = network::look(&all).await;
        stop(nodes).await;
        let oracle = load.oracle.lock().unwrap();
        oracle.judge(&found).unwrap_or_else(|violation| panic!("seed {}: {violation}", seed.value()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_and_handles_from_before_go_on() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let held_up =
        actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE), Step::Append(1)])).submit().await.unwrap();
    held_up.accepted().await.unwrap();
    probe.reached(GATE, 1).await;
    let waiting = actor.send(Script::new([Step::Append(2)])).submit().await.unwrap();
    waiting.accepted().await.unwrap();
    let (failed, drained) = (node.clone(), node.clone());
    let mut failed = tokio::spawn(async move { failed.failed().await });
    let drained = tokio::spawn(async move { drained.drained().await });
    let asking = actor.clone();
    let asked = tokio::spawn(async move { asking.ask(Script::new([Step::Append(3)])).await });
    eventually("all wait", || node.statistics().waiting == 3).await;
    let processed = tokio::spawn(waiting.processed());
    soon("it is opened again", node.reopen()).await.unwrap();
    let processed = soon("it is told", processed).await.unwrap();
    assert!(matches!(processed, Err(ProcessedError::Ended(NodeEnded::Reopened))), "{processed:?}");
    let asked = soon("it is told", asked).await.unwrap();
    assert!(matches!(asked, Err(AskError::Stopped)), "{asked:?}");
    assert_eq!(node.statistics().replayed, 3);
    // What was in flight is no suspect: the process has not died.
    probe.reached(GATE, 2).await;
    assert!(!drained.is_finished(), "it waits for what was recovered too");
    probe.open(GATE);
    soon("it drains", drained).await.unwrap().unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2, 3]);
    actor.send(Script::new([Step::Append(4)])).await.unwrap();
    assert!(timeout(Duration::ZERO, &mut failed).await.is_err(), "it is well");
    node.stop().await.unwrap();
    assert!(matches!(soon("it is told", failed).await.unwrap(), NodeEnded::Stopped));
    assert!(matches!(node.reopen().await, Err(ReopenError::Stopped)));
}

/// Its journal is not where it was for a while, which ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_failed_is_opened_again_when_its_trouble_is_over() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    let (journal, away) = (folder.path().join("journal"), folder.path().join("away"));
    std::fs::rename(&journal, &away).unwrap();
    let sent = actor.send(Script::new([Step::Append(2)])).await;
    assert!(matches!(sent, Err(SendError::OutcomeUnknown { .. })), "{sent:?}");
    assert!(matches!(soon("it is told", node.failed()).await, NodeEnded::Failed(_)));
    std::fs::rename(&away, &journal).unwrap();
    soon("it is opened again", node.reopen()).await.unwrap();
    actor.send(Script::new([Step::Append(3)])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let entries = read(&actor).await.entries;
    assert!(entries == [1, 2, 3] || entries == [1, 3], "{entries:?}");
    node.stop().await.unwrap();
}

/// The store's folder is not there for a while: the node does nothing then, and goes on when it is there again.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_opened_again_can_be_tried_again() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    let starts = Arc::default();
    let group = supervise(&node, "group", &starts).await;
    let (tables, away) = (folder.path().join("tables"), folder.path().join("away"));
    let (journal, slots) = (folder.path().join("journal"), folder.path().join("slots"));
    std::fs::rename(&tables, &away).unwrap();
    for _ in 0..2 {
        let refused = soon("it is refused", node.reopen()).await;
        assert!(matches!(refused, Err(ReopenError::Open(StartError::Open(_)))), "{refused:?}");
        let refused = actor.send(Script::new([Step::Append(2)])).await;
        assert!(matches!(refused, Err(SendError::NotAccepted { reason: Refusal::Reopening, .. })), "{refused:?}");
    }
    assert!(matches!(soon("it says so", node.failed()).await, NodeEnded::Reopened));
    assert!(soon("it says so", group.ended()).await.is_err());
    assert!(journal.exists() && slots.exists(), "nothing else has changed");
    std::fs::rename(&away, &tables).unwrap();
    soon("it is opened again", node.reopen()).await.unwrap();
    actor.send(Script::new([Step::Append(3)])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 3]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_store_is_opened_again_waits_and_stops() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    let (one, other) = (node.clone(), node.clone());
    let reopening = tokio::spawn(async move { one.reopen().await });
    let also = tokio::spawn(async move { other.reopen().await });
    soon("it stops", node.stop()).await.unwrap();
    for reopened in [reopening, also] {
        let reopened = soon("it has ended", reopened).await.unwrap();
        assert!(matches!(reopened, Ok(()) | Err(ReopenError::Stopped)), "{reopened:?}");
    }
    let node = workers(folder.path(), &probe).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    node.stop().await.unwrap();
}

/// They open it once for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_are_one() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let group = supervise(&node, "group", &starts).await;
    soon("it starts", group.started()).await.unwrap();
    let before = node.clone();
    // Each is polled before the first can have come to its end.
    let (first, second, third) = tokio::join!(node.reopen(), before.reopen(), node.reopen());
    [first, second, third].into_iter().for_each(Result::unwrap);
    eventually("its group starts again", || starts.load(Ordering::SeqCst) == 2).await;
    soon("it is opened again", node.reopen()).await.unwrap();
    eventually("its group starts again", || starts.load(Ordering::SeqCst) == 3).await;
    node.stop().await.unwrap();
}

/// A group that comes meanwhile waits for it, and one that was told to stop is not started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_or_stops_as_it_was_told() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let group = supervise(&node, "group", &starts).await;
    soon("it starts", group.started()).await.unwrap();
    let (begun, late_starts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // It does not stop by itself, so that the stop is under way when the store is left.
    let stubborn = Child::permanent("stubborn", {
        let begun = Arc::clone(&begun);
        move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        }
    });
    let stubborn = Group::one_for_one("stubborn").child(stubborn.stop_within(Duration::from_secs(3600)));
    let stubborn = node.supervise(stubborn).await.unwrap();
    eventually("it runs", || begun.load(Ordering::SeqCst) == 1).await;
    let mut stopping = pin!(stubborn.stop());
    assert!(timeout(Duration::ZERO, &mut stopping).await.is_err(), "it was told, and does not stop");
    let (reopened, late) = tokio::join!(node.reopen(), supervise(&node, "late", &late_starts));
    reopened.unwrap();
    soon("it starts", late.started()).await.unwrap();
    eventually("its group starts again", || starts.load(Ordering::SeqCst) == 2).await;
    soon("it has stopped", stopping).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 1, "nothing of it was started again");
    soon("it stops", group.stop()).await.unwrap();
    node.stop().await.unwrap();
}

#[derive(Serialize, Deserialize, Message)]
#[message(reply = u64)]
struct Look;

/// An actor whose answers keep a thread until they are told to end.
#[derive(Clone, Default)]
struct Stubborn {
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Actor for Stubborn {
    const TYPE: &'static str = "stubborn";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_query::<Look>();
    }
}

impl QueryHandler<Look> for Stubborn {
    fn answer(&self, state: &u64, _: Look) -> u64 {
        self.asked.fetch_add(1, Ordering::SeqCst);
        while !self.over.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        *state
    }
}

/// What they wait for is in nobody's hands but those of a thread that does not come back, and the clock that they wait
/// by ends with the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_by_a_clock_that_ends_is_told_and_does_not_panic() {
    let (folder, stubborn) = (everpost_tests::folder(), Stubborn::default());
    let node = Node::builder("node", folder.path()).actor(stubborn.clone()).start().await.unwrap();
    let actor = node.actor::<Stubborn>("one");
    let asked = tokio::spawn(async move { actor.query(Look).timeout(Duration::from_secs(3600)).await });
    eventually("it is being answered", || stubborn.asked.load(Ordering::SeqCst) == 1).await;
    let reopening = node.clone();
    let reopening = tokio::spawn(async move { reopening.reopen().await });
    let told = soon("it is told", asked).await.expect("it does not panic");
    assert!(matches!(told, Err(QueryError::Lost)), "{told:?}");
    soon("it is opened again", reopening).await.unwrap().unwrap();
    stubborn.over.store(true, Ordering::SeqCst);
    soon("another answers", node.actor::<Stubborn>("one").query(Look).into_future()).await.unwrap();
    node.stop().await.unwrap();
}
