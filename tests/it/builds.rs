//! A message may wait in the store while the program changes: each build here knows the message `pay`, and the actor
//! that gets it, in its own way.

use std::time::Duration;

use everpost::{
    Actor, DeadLetter, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, Reason, Turn, UpgradeError,
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
        handlers.answers::<Sum>();
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
impl<M: Cents> everpost::Answer<Sum> for Build<M> {
    fn answer(&self, sum: &u64, Sum: Sum) -> u64 {
        *sum
    }
}

/// Messages of the build that knows `PayOne` wait in the store; then a build that knows `M` starts. Returns the sum that
/// it gets, and its dead letters.
async fn next_build<M: Cents>() -> (u64, Vec<DeadLetter>) {
    let folder = everpost_tests::folder();
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    let node = Node::builder("node", folder.path()).actor(Holding).config(config).start().await.unwrap();
    for euros in 1..=3 {
        node.actor::<Holding>("one").send(PayOne { euros }).await.unwrap();
    }
    // A handler that does not end is cut off, or was not begun yet.
    let _ = soon("the node stops", node.stop()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn messages_whose_name_no_handler_knows_become_dead_letters() {
    #[derive(Debug, Serialize, Deserialize, Message)]
    #[message(name = "something-else")]
    struct Else;
    impl Cents for Else {
        fn cents(&self) -> u64 {
            0
        }
    }
    let (sum, letters) = next_build::<Else>().await;
    assert_eq!((sum, letters.len()), (0, 3));
    assert!(letters.iter().all(|letter| letter.errors.last().unwrap().contains("knows `pay`")), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_an_actor_type_that_is_gone_wait_for_it() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    node.actor::<Worker>("one").send(Script::new([Step::RetryAfter(1, 3_600_000)])).await.unwrap();
    eventually("it backs off", || node.statistics().failed == 1).await;
    node.stop().await.unwrap();
    let node = Node::builder("node", folder.path()).actor(Build::<PayOne>::new()).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 0);
    soon("nothing waits for a type that is here", node.drained()).await.unwrap();
    node.stop().await.unwrap();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 1, "it is still in the store");
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    node.stop().await.unwrap();
}
