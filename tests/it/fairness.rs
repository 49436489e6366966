//! Who waits gets a turn: messages beside queries, and senders one after another.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use everpost::{
    Actor, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, QueryHandler, StoreConfig, Turn,
};
use everpost_tests::net::{Net, linked};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, workers};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// How many queries wait at once.
const QUERIES: usize = 400;
const MESSAGES: usize = 10;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "add")]
struct Add;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "total", reply = u64)]
struct Total;

/// Counts what it does.
#[derive(Clone)]
struct Popular(Arc<Inside>);

struct Inside {
    gate: Semaphore,
    answered: AtomicUsize,
    /// How many queries were answered when the last message was handled.
    handled_after: AtomicUsize,
    /// The same of another task.
    ran_after: AtomicUsize,
}

impl Actor for Popular {
    const TYPE: &'static str = "popular";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Add>();
        handlers.on_query::<Total>();
    }
}

impl Handler<Add> for Popular {
    async fn handle(&self, total: &mut Durable<u64>, _: Add, _: &mut Turn<'_>) -> Result<(), Failure> {
        self.0.gate.acquire().await.expect("it is not closed").forget();
        **total += 1;
        self.0.handled_after.store(self.0.answered.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(())
    }
}

impl QueryHandler<Total> for Popular {
    fn answer(&self, total: &u64, _: Total) -> u64 {
        if self.0.answered.fetch_add(1, Ordering::SeqCst) == 0 {
            let inside = Arc::clone(&self.0);
            tokio::spawn(async move {
                inside.ran_after.store(inside.answered.load(Ordering::SeqCst), Ordering::SeqCst);
            });
        }
        *total
    }
}

/// Queries went first for as long as there were any, without ever letting another task run.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_queries_let_messages_and_other_tasks_through() {
    let folder = everpost_tests::folder();
    let counts = AtomicUsize::default;
    let inside = Inside { gate: Semaphore::new(0), answered: counts(), handled_after: counts(), ran_after: counts() };
    let popular = Popular(Arc::new(inside));
    let config = everpost_tests::config();
    let node = Node::builder("node", folder.path()).actor(popular.clone()).config(config).start().await.unwrap();
    let actor = node.actor::<Popular>("one");
    for _ in 0..MESSAGES {
        actor.send(Add).await.unwrap();
    }
    // The first message is in flight; the others and all queries wait.
    let mut asked = Vec::new();
    for _ in 0..QUERIES {
        // The budget that tokio gives a task is not what is tested here.
        let mut query = Box::pin(tokio::task::unconstrained(actor.query(Total).into_future()));
        assert!(Arc::new(Woken::default()).poll(query.as_mut()).is_pending(), "it waits in the mailbox");
        asked.push(query);
    }
    popular.0.gate.add_permits(MESSAGES);
    for query in asked {
        soon("each is answered", query).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    let (handled, ran) = (popular.0.handled_after.load(Ordering::SeqCst), popular.0.ran_after.load(Ordering::SeqCst));
    assert!(handled <= 2 * MESSAGES, "{MESSAGES} messages waited for {handled} queries");
    assert!(ran <= 100, "another task waited for {ran} answers");
    assert_eq!((node.statistics().handled, popular.0.answered.load(Ordering::SeqCst)), (MESSAGES as u64, QUERIES));
    node.stop().await.unwrap();
}

const GATE: u32 = 0;

/// Whether a future that is polled by hand was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Woken {
    fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        self.0.store(false, Ordering::SeqCst);
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    async fn is_woken(self: &Arc<Self>, what: &str) {
        eventually(what, || self.0.load(Ordering::SeqCst)).await;
    }
}

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

/// A sender that was told of room, and was dropped instead of using it, told nobody: the others waited out their
/// timeouts.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_dropped_when_it_was_given_room_in_a_mailbox_passes_it_on() {
    for round in 0..10 {
        let (folder, probe) = (everpost_tests::folder(), Probe::new());
        // With room for one submission, a sender that was given room in the mailbox waits for the store at times.
        let store = StoreConfig { queue_turns_max: 1, ..StoreConfig::default() };
        let send_timeout = Duration::from_secs(600);
        let config = NodeConfig { mailbox_messages_max: 1, send_timeout, store, ..everpost_tests::config() };
        let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
        let actor = node.actor::<Worker>("one");
        actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE), Step::Append(1)])).await.unwrap();
        probe.reached(GATE, 1).await;
        let woken = Arc::new(Woken::default());
        let mut first = Box::pin(actor.send(append(2)).into_future());
        assert!(woken.poll(first.as_mut()).is_pending());
        let mut second = Box::pin(actor.send(append(3)).into_future());
        assert!(Arc::new(Woken::default()).poll(second.as_mut()).is_pending());
        probe.open(GATE);
        woken.is_woken("the first sender is given the room").await;
        // By then it may wait for the store, or have gone in.
        let _ = (round > 0).then(|| woken.poll(first.as_mut()));
        drop(first);
        soon("the second is given the room", second).await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        node.stop().await.unwrap();
    }
}

/// Nobody is dropped: a sender that was told that the node has room found its mailbox full, and waited there with the
/// news.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_cannot_use_the_room_of_the_node_does_not_keep_it() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let send_timeout = Duration::from_secs(600);
    let config = NodeConfig { node_messages_max: 2, mailbox_messages_max: 1, send_timeout, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    node.actor::<Worker>("paused").pause("for the night").await.unwrap();
    for gate in [1, 2] {
        let busy = node.actor::<Worker>(&format!("busy {gate}"));
        busy.send(Script::new([Step::Reach(gate), Step::Wait(gate)])).await.unwrap();
        probe.reached(gate, 1).await;
    }
    // All three wait for room in the node, in this order.
    let wait = |key: &str| {
        let actor = node.actor::<Worker>(key);
        let mut send = Box::pin(async move { actor.send(append(1)).await });
        assert!(Arc::new(Woken::default()).poll(send.as_mut()).is_pending());
        tokio::spawn(send)
    };
    let (first, second, third) = (wait("paused"), wait("paused"), wait("other"));
    probe.open(1);
    soon("the first goes through", first).await.unwrap().unwrap();
    probe.open(2);
    soon("the third goes through", third).await.unwrap().unwrap();
    node.actor::<Worker>("paused").resume().await.unwrap();
    soon("the second goes through", second).await.unwrap().unwrap();
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

/// Senders to another node were all woken at once, and whoever came first took the room.
#[tokio::test(flavor = "multi_thread")]
async fn senders_to_another_node_are_let_through_in_the_order_in_which_they_came() {
    const SENDERS: u32 = 50;
    let send_timeout = Duration::from_secs(600);
    let config = NodeConfig { outbox_messages_max: 1, send_timeout, ..everpost_tests::config() };
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).config(&config);
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let actor = east.actor::<Worker>("far");
    actor.send(append(0)).await.unwrap();
    let senders: Vec<_> = (1..=SENDERS)
        .map(|number| {
            let actor = actor.clone();
            let mut send = Box::pin(async move { actor.send(append(number)).await });
            assert!(Arc::new(Woken::default()).poll(send.as_mut()).is_pending());
            (number, send)
        })
        .collect();
    // One in three does not wait any longer.
    let senders = senders.into_iter().filter(|(number, _)| number % 3 != 0);
    let senders: Vec<_> = senders.map(|(_, send)| tokio::spawn(send)).collect();
    let west = net.start("west", &probe).await;
    linked(&[&east, &west]).await;
    for sender in senders {
        soon("every sender goes through", sender).await.unwrap().unwrap();
    }
    soon("it leaves", east.drained()).await.unwrap();
    soon("it drains", west.drained()).await.unwrap();
    let entries = everpost_tests::worker::read(&west.actor::<Worker>("far")).await.entries;
    assert_eq!(entries, (0..=SENDERS).filter(|number| number % 3 != 0 || *number == 0).collect::<Vec<_>>());
    everpost_tests::net::stop([east, west]).await;
}
