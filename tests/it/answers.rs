//! Whoever may only ask stops nobody: a query that cannot be answered fails by itself, and its actor goes on.

use std::time::Duration;

use everpost::{
    Actor, ActorHandle, Durable, Failure, Handler, Handlers, Message, Node, QueryError, QueryHandler, Refusal, Turn,
};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::wait::soon;
use serde::de::Deserializer;
use serde::ser::{Error, Serializer};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(50);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "add", reply = u32)]
struct Add(u32);

/// What happens to a query on its way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Way {
    Answered,
    AnswerPanics,
    AnswerPanicsWithoutText,
    ReplyPanicsInEncoding,
    ReplyCannotBeEncoded,
    ReplyPanicsInDrop,
    QueryPanicsInDecoding,
    QueryCannotBeDecoded,
}

#[derive(Serialize, Message)]
#[message(name = "sum", reply = Sum)]
struct AskSum(Way);

impl<'de> Deserialize<'de> for AskSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Way::deserialize(deserializer)? {
            Way::QueryPanicsInDecoding => panic!("told to panic in decoding"),
            Way::QueryCannotBeDecoded => Err(serde::de::Error::custom("told to fail")),
            way => Ok(Self(way)),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Sum(u32, Way);

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Way::ReplyPanicsInEncoding => panic!("told to panic in encoding"),
            Way::ReplyCannotBeEncoded => Err(S::Error::custom("told to fail")),
            way => (self.0, way).serialize(serializer),
        }
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        assert!(self.1 != Way::ReplyPanicsInDrop, "told to panic when it is dropped");
    }
}

/// Panics once more when it is dropped, as what a panic carries may.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic!("told to panic when the panic is dropped");
    }
}

struct Adder;

impl Actor for Adder {
    const TYPE: &'static str = "adder";
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Add>();
        handlers.on_query::<AskSum>();
    }
}

impl Handler<Add> for Adder {
    async fn handle(&self, sum: &mut Durable<u32>, add: Add, _: &mut Turn<'_>) -> Result<u32, Failure> {
        **sum += add.0;
        Ok(**sum)
    }
}

impl QueryHandler<AskSum> for Adder {
    fn answer(&self, sum: &u32, AskSum(way): AskSum) -> Sum {
        match way {
            Way::AnswerPanics => panic!("told to panic with {sum}"),
            Way::AnswerPanicsWithoutText => std::panic::panic_any(Spiteful),
            way => Sum(*sum, way),
        }
    }
}

/// More often than the restart budget of an actor allows.
const TIMES: u32 = 12;

async fn fails_with(adder: &ActorHandle<Adder>, way: Way, text: &str) {
    for _ in 0..TIMES {
        match soon("the query ends", adder.query(AskSum(way)).timeout(LONG)).await {
            Err(QueryError::Failed(error)) => assert!(error.contains(text), "{way:?}: {error}"),
            other => panic!("{way:?}: {other:?}"),
        }
    }
}

async fn goes_on(node: &Node, adder: &ActorHandle<Adder>, sum: u32) {
    assert_eq!(soon("a message is handled", adder.ask(Add(1)).timeout(LONG)).await.unwrap(), sum);
    let answer = soon("a query is answered", adder.query(AskSum(Way::Answered)).timeout(LONG)).await.unwrap();
    assert_eq!((answer.0, node.paused()), (sum, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_panic_were_counted_against_their_actor_and_now_fail_by_themselves() {
    let folder = everpost_tests::folder();
    let builder = || Node::builder("node", folder.path()).actor(Adder).config(everpost_tests::config());
    let node = builder().start().await.unwrap();
    let adder = node.actor::<Adder>("one");
    goes_on(&node, &adder, 1).await;
    fails_with(&adder, Way::AnswerPanics, "told to panic with 1").await;
    fails_with(&adder, Way::AnswerPanicsWithoutText, "without a text").await;
    goes_on(&node, &adder, 2).await;
    assert_eq!((node.statistics().failed, node.statistics().activations), (0, 1), "nothing was counted or restarted");
    node.stop().await.unwrap();
    let node = builder().start().await.unwrap();
    goes_on(&node, &node.actor::<Adder>("one"), 3).await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_waits_for_and_that_panics_when_it_is_dropped_stopped_all_answers_of_the_node() {
    let folder = everpost_tests::folder();
    let node =
        Node::builder("node", folder.path()).actor(Adder).config(everpost_tests::config()).start().await.unwrap();
    let adder = node.actor::<Adder>("one");
    goes_on(&node, &adder, 1).await;
    for number in 2..20 {
        // The answer builds on a turn that is not durable yet, so that it outlives whoever asked.
        let receipt = adder.send(Add(1)).submit().await.unwrap();
        let asking = adder.clone();
        let asked = tokio::spawn(async move {
            drop(
                tokio::time::timeout(Duration::ZERO, asking.query(AskSum(Way::ReplyPanicsInDrop)).into_future()).await,
            );
        });
        // Where the answer has come already, it is this task that drops it.
        let _ = asked.await;
        receipt.accepted().await.unwrap();
        let answer = soon("answers go on", adder.query(AskSum(Way::Answered)).timeout(LONG)).await.unwrap();
        assert!(answer.0 <= number, "{}", answer.0);
    }
    goes_on(&node, &adder, 20).await;
    assert_eq!(node.statistics().failed, 0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_another_node_that_panics_ended_its_link_or_its_actor_and_now_fails_by_itself() {
    let (east, west) = ("answers-east", "answers-west");
    let net = Net::new(&[east, west]).with("adder", &[west]);
    let start = async |name: &str| net.seat(name).bare().actor(Adder).start().await.unwrap();
    let (east, west) = (start(east).await, start(west).await);
    linked(&[&east, &west]).await;
    let adder = east.actor::<Adder>("one");
    goes_on(&west, &adder, 1).await;
    fails_with(&adder, Way::AnswerPanics, "told to panic with 1").await;
    fails_with(&adder, Way::AnswerPanicsWithoutText, "without a text").await;
    fails_with(&adder, Way::ReplyPanicsInEncoding, "told to panic in encoding").await;
    fails_with(&adder, Way::ReplyCannotBeEncoded, "cannot be encoded").await;
    fails_with(&adder, Way::QueryPanicsInDecoding, "told to panic in decoding").await;
    for _ in 0..TIMES {
        let unread = soon("the query ends", adder.query(AskSum(Way::QueryCannotBeDecoded)).timeout(LONG)).await;
        let Err(QueryError::NotAccepted(Refusal::NotHandled { .. })) = unread else { panic!("{unread:?}") };
    }
    goes_on(&west, &adder, 2).await;
    assert_eq!((west.statistics().failed, west.statistics().activations), (0, 1), "nothing was counted or restarted");
    assert!(east.is_linked_to(west.name()));
    stop([east, west]).await;
}
