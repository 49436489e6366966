//! A message may wait in the store while the program changes: each build here knows the message `pay`, and the actor
//! that gets it, in its own way.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use everpost::{
    Actor, DeadLetter, Durable, Failure, Handler, Handlers, Message, Node, NodeBuilder, NodeConfig, Reason, StartError,
    Stored, Turn, Unhandled, UpgradeError,
};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, workers};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "pay", version = 1)]
struct PayOne {
    euros: u32,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "pay", version = 2, upgrade = from_one)]
struct PayTwo {
    cents: u64,
    note: String,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "pay", version = 3)]
struct PayThree {
    cents: u64,
}
/// The version of `PayOne`, and other fields.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "pay", version = 1)]
struct PayOther {
    who: String,
    whom: String,
}

fn from_one(version: u16, bytes: &[u8]) -> Result<PayTwo, UpgradeError> {
    if version != 1 {
        return Err(UpgradeError::new(format!("version {version} of `pay` was never written")));
    }
    let PayOne { euros } = postcard::from_bytes(bytes).map_err(UpgradeError::new)?;
    Ok(PayTwo { cents: u64::from(euros) * 100, note: "upgraded".into() })
}

/// A build that knows `M` and nothing else.
#[derive(Debug)]
struct Build<M>(std::marker::PhantomData<fn(M)>);

impl<M> Build<M> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

trait Cents: Message<Reply = ()> {
    fn cents(&self) -> u64;
}
impl Cents for PayOne {
    fn cents(&self) -> u64 {
        u64::from(self.euros) * 100
    }
}
impl Cents for PayTwo {
    fn cents(&self) -> u64 {
        self.cents
    }
}
impl Cents for PayThree {
    fn cents(&self) -> u64 {
        self.cents
    }
}
impl Cents for PayOther {
    fn cents(&self) -> u64 {
        0
    }
}

impl<M: Cents> Actor for Build<M> {
    const TYPE: &'static str = "purse";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<M>();
        handlers.on_query::<Sum>();
    }
}
impl<M: Cents> Handler<M> for Build<M> {
    async fn handle(&self, sum: &mut Durable<u64>, pay: M, _: &mut Turn<'_>) -> Result<(), Failure> {
        **sum += pay.cents();
        Ok(())
    }
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "sum", reply = u64)]
struct Sum;
impl<M: Cents> everpost::QueryHandler<Sum> for Build<M> {
    fn answer(&self, sum: &u64, Sum: Sum) -> u64 {
        *sum
    }
}

fn config() -> NodeConfig {
    NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() }
}

/// The messages 1 to `last` of the build that knows `PayOne` wait in the store.
async fn waiting(folder: &Path, last: u32) {
    let node = Node::builder("node", folder).actor(Holding).config(config()).start().await.unwrap();
    for euros in 1..=last {
        node.actor::<Holding>("one").send(PayOne { euros }).await.unwrap();
    }
    // A handler that does not end is cut off, or was not begun yet.
    let _ = soon("the node stops", node.stop()).await;
}

/// A build that knows `M` starts after them. Returns the sum that it gets, and its dead letters.
async fn next_build<M: Cents>() -> (u64, Vec<DeadLetter>) {
    let folder = everpost_tests::folder();
    waiting(folder.path(), 3).await;
    let node = Node::builder("node", folder.path()).actor(Build::<M>::new()).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 3);
    soon("it drains", node.drained()).await.unwrap();
    let found = (node.actor::<Build<M>>("one").query(Sum).await.unwrap(), node.dead_letters().list().await.unwrap());
    node.stop().await.unwrap();
    found
}

/// The build that writes: it gets no further than the first message.
#[derive(Debug)]
struct Holding;

impl Actor for Holding {
    const TYPE: &'static str = "purse";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<PayOne>();
    }
}

impl Handler<PayOne> for Holding {
    async fn handle(&self, _: &mut Durable<u64>, _: PayOne, _: &mut Turn<'_>) -> Result<(), Failure> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_build_reads_old_messages_through_its_upgrade() {
    let (sum, letters) = next_build::<PayTwo>().await;
    assert_eq!((sum, letters.len()), (600, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_an_unknown_version_become_dead_letters() {
    let (sum, letters) = next_build::<PayThree>().await;
    assert_eq!((sum, letters.len()), (0, 3));
    for (letter, euros) in letters.iter().zip(1..) {
        assert_eq!(letter.reason, Reason::Rejected);
        assert!(letter.errors.last().unwrap().contains("no upgrade from version 1 of `pay`"), "{:?}", letter.errors);
        assert_eq!(postcard::from_bytes::<PayOne>(&letter.payload).unwrap().euros, euros, "the bytes are kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_cannot_be_read_become_dead_letters() {
    let (sum, letters) = next_build::<PayOther>().await;
    assert_eq!((sum, letters.len()), (0, 3));
    assert!(letters.iter().all(|letter| letter.errors.last().unwrap().contains("`pay` version 1 cannot be read")));
}

/// A message that no `PayOne` is.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "something-else")]
struct Else;
impl Cents for Else {
    fn cents(&self) -> u64 {
        0
    }
}
/// `pay` as it was before `PayOne`.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "pay", version = 0)]
struct PayZero;
impl Cents for PayZero {
    fn cents(&self) -> u64 {
        0
    }
}

/// What a node says that does not start, and how many of each kind it names.
async fn refusal(node: NodeBuilder) -> (String, BTreeMap<Unhandled, usize>) {
    let error = node.start().await.unwrap_err();
    let text = error.to_string();
    match error {
        StartError::NotHandled { messages, .. } => (text, messages),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_nothing_handles_refuse_the_start_and_are_named() {
    let folder = everpost_tests::folder();
    waiting(folder.path(), 3).await;
    let node = || Node::builder("node", folder.path()).config(config());
    let probe = Probe::new();
    for (builder, named) in [
        (node().actor(Build::<Else>::new()), "3 of `pay` version 1 to `purse`, which handles no message of that name"),
        (node().actor(Build::<PayZero>::new()), "3 of `pay` version 1 to `purse`, which knows it up to version 0"),
        (workers(folder.path(), &probe), "3 of `pay` version 1 to `purse`, an actor type that is not part of the node"),
    ] {
        let (text, messages) = refusal(builder).await;
        assert!(text.contains(named) && text.contains("nothing was changed"), "{text}");
        assert_eq!(messages.into_values().collect::<Vec<_>>(), [3]);
    }
    // Nothing was changed: the build that knows them handles them.
    let node = node().actor(Build::<PayOne>::new()).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 3);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.actor::<Build<PayOne>>("one").query(Sum).await.unwrap(), 600);
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_nothing_handles_become_dead_letters_when_told_so_and_others_are_handled() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    node.actor::<Worker>("one").send(Script::new([Step::RetryAfter(1, 3_600_000)])).await.unwrap();
    eventually("it backs off", || node.statistics().failed == 1).await;
    node.stop().await.unwrap();
    let node = || Node::builder("node", folder.path()).config(config());
    // Told to keep the workers' message away, so that messages of both can wait.
    let purse = node().actor(Holding).quarantine_unhandled().start().await.unwrap();
    for euros in 1..=3 {
        purse.actor::<Holding>("one").send(PayOne { euros }).await.unwrap();
    }
    assert_eq!(purse.statistics().dead_lettered, 1);
    let _ = soon("the node stops", purse.stop()).await;

    let small = NodeConfig { dead_letters_max: 3, ..config() };
    let refused = workers(folder.path(), &probe).config(small).quarantine_unhandled().start().await;
    assert!(matches!(refused, Err(StartError::DeadLettersFull { messages: 3, room: 2, .. })), "{refused:?}");
    let builder = workers(folder.path(), &probe).config(config()).quarantine_unhandled();
    let workers_alone = builder.start().await.unwrap();
    let letters = workers_alone.dead_letters().list().await.unwrap();
    let reasons: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.message.as_str())).collect();
    let pay = (Reason::NotHandled, "pay");
    assert_eq!(reasons, [(Reason::NotHandled, "script"), pay, pay, pay]);
    assert_eq!((letters[0].attempts, letters[0].errors.len()), (1, 2), "what it had tried before is kept");
    assert!(letters[0].errors[1].contains("`script` version 1 to `worker`, an actor type"), "{:?}", letters[0].errors);
    for (letter, euros) in letters[1..].iter().zip(1..) {
        assert_eq!(postcard::from_bytes::<PayOne>(&letter.payload).unwrap().euros, euros, "the bytes are kept");
    }
    workers_alone.actor::<Worker>("one").ask(Script::new([Step::Append(1)])).await.unwrap();
    workers_alone.stop().await.unwrap();
    // Told once is enough.
    workers(folder.path(), &probe).start().await.unwrap().stop().await.unwrap();
}

#[test]
fn a_start_that_is_cut_off_while_it_gives_up_on_messages_loses_none() {
    const MESSAGES: usize = 500;
    let folder = everpost_tests::folder();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime().block_on(waiting(folder.path(), u32::try_from(MESSAGES).unwrap()));
    let build = || Node::builder("node", folder.path()).config(config()).actor(Build::<Else>::new());
    let mut halfway = 0;
    for round in 1.. {
        let starting = runtime();
        let start = build().quarantine_unhandled().start();
        let cut_off = starting.block_on(async {
            let started = tokio::time::timeout(Duration::from_micros(500 * round), start).await;
            started.map(|started| drop(started.unwrap())).is_err()
        });
        // As a crash would: nothing is closed, and what was not durable is lost.
        drop(starting);
        let report = runtime().block_on(build().check_upgrade()).unwrap();
        let count = |what| {
            let of = report.kinds().filter(|(kind, _)| kind.stored == what);
            of.map(|(_, counts)| counts.unreadable).sum::<usize>()
        };
        let (left, given_up) = (count(Stored::Waiting), count(Stored::DeadLetter));
        assert_eq!(left + given_up, MESSAGES, "{report}");
        halfway += usize::from(left > 0 && given_up > 0);
        if !cut_off {
            assert_eq!((left, given_up), (0, MESSAGES));
            break;
        }
    }
    assert!(halfway > 0, "no start was cut off halfway");
}
