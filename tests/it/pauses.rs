//! Pausing, and restart budgets: what is paused keeps accepting and loses nothing.

use std::time::Duration;

use everpost::{Actor, Budget, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, PauseReason, Turn};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_address_keeps_accepting_and_handles_everything_when_it_is_resumed() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(append(1)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    actor.pause("maintenance").await.unwrap();
    actor.send(append(2)).await.unwrap();
    node.actor::<Worker>("two").send(append(3)).await.unwrap();
    assert_eq!(actor.paused().unwrap().reason, PauseReason::Asked("maintenance".into()));
    eventually("the other one works", || node.statistics().waiting == 1).await;
    assert_eq!(read(&actor).await.entries, [1], "queries are answered");
    node.stop().await.unwrap();
    drop((actor, node));

    // Paused it stays.
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let paused: Vec<String> = node.paused().into_iter().map(|(name, _)| name).collect();
    assert_eq!(paused, ["worker/one"]);
    actor.send(append(4)).await.unwrap();
    assert_eq!((read(&actor).await.entries, node.statistics().waiting), (vec![1], 2));
    actor.resume().await.unwrap();
    actor.resume().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2, 4]);
    assert!(node.paused().is_empty());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_type_stops_all_of_its_actors_and_no_other() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    node.pause_type::<Worker>("deploying").await.unwrap();
    for key in ["one", "two"] {
        node.actor::<Worker>(key).send(append(1)).await.unwrap();
        node.actor::<Quick>(key).send(append(1)).await.unwrap();
    }
    eventually("the others work", || node.statistics().waiting == 2).await;
    node.stop().await.unwrap();
    drop(node);
    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.paused().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["worker"]);
    node.actor::<Quick>("one").ask(append(2)).await.unwrap();
    assert_eq!(node.statistics().waiting, 2);
    node.resume_type::<Worker>().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("two")).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_node_is_paused_there() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let refused = east.actor::<Worker>("one").pause("no").await;
    let elsewhere = matches!(&refused, Err(everpost::PauseError::LivesElsewhere { node, .. }) if node == "west");
    assert!(elsewhere, "{refused:?}");
    west.actor::<Worker>("one").pause("yes").await.unwrap();
    let receipt = east.actor::<Worker>("one").send(append(1)).submit().await.unwrap();
    soon("it is delivered", receipt.delivered()).await.unwrap();
    assert_eq!(west.statistics().waiting, 1);
    west.actor::<Worker>("one").resume().await.unwrap();
    soon("it is processed", receipt.processed()).await.unwrap();
    stop([east, west]).await;
}

/// Fails as it is told to; its budget is small.
struct Fragile;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "push")]
struct Push {
    number: u32,
    how: How,
}

#[derive(Serialize, Deserialize)]
enum How {
    Fine,
    Poison,
    Panic,
    Reject,
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "pushed", reply = Vec<u32>)]
struct Pushed;

impl Actor for Fragile {
    const TYPE: &'static str = "fragile";
    const BUDGET: Budget = Budget::new(2, Duration::from_secs(600));
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Push>();
        handlers.on::<Pushed>();
    }
}

impl Handler<Push> for Fragile {
    async fn handle(&self, pushed: &mut Durable<Vec<u32>>, push: Push, _: &mut Turn<'_>) -> Result<(), Failure> {
        match push.how {
            How::Fine => pushed.push(push.number),
            How::Poison => return Err(Failure::retry("told to fail")),
            How::Panic => panic!("told to panic"),
            How::Reject => return Err(Failure::reject("told to reject")),
        }
        Ok(())
    }
}

impl Handler<Pushed> for Fragile {
    async fn handle(&self, pushed: &mut Durable<Vec<u32>>, _: Pushed, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        Ok(pushed.to_vec())
    }
}

async fn fragile(folder: &std::path::Path) -> Node {
    let config = NodeConfig { attempts_max: 3, ..everpost_tests::config() };
    Node::builder("node", folder).actor(Fragile).config(config).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_always_panics_ends_in_the_dead_letters_and_its_actor_is_not_paused_for_it() {
    let folder = everpost_tests::folder();
    let node = fragile(folder.path()).await;
    let actor = node.actor::<Fragile>("one");
    actor.send(Push { number: 1, how: How::Panic }).await.unwrap();
    for number in 2..40 {
        // What is rejected is a decision, and counts against nobody.
        let how = if number % 2 == 0 { How::Fine } else { How::Reject };
        drop(actor.send(Push { number, how }).submit().await.unwrap());
    }
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.paused().is_empty());
    assert_eq!(actor.ask(Pushed).await.unwrap().len(), 19);
    assert_eq!(node.dead_letters().count(), 20);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_restart_budget_pauses_the_actor_survives_the_process_and_loses_nothing() {
    let folder = everpost_tests::folder();
    let node = fragile(folder.path()).await;
    let actor = node.actor::<Fragile>("one");
    for how in [How::Poison, How::Panic] {
        actor.send(Push { number: 0, how }).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.paused().is_empty(), "two are within the budget");
    node.stop().await.unwrap();
    drop((actor, node));

    let node = fragile(folder.path()).await;
    let actor = node.actor::<Fragile>("one");
    // It is not paused, so that this does not make its budget whole.
    actor.resume().await.unwrap();
    actor.send(Push { number: 0, how: How::Poison }).await.unwrap();
    eventually("the third is one too many, although the process is another", || actor.paused().is_some()).await;
    let PauseReason::BudgetSpent(error) = actor.paused().unwrap().reason else { panic!("paused for another reason") };
    assert!(error.contains("told to fail"), "{error}");
    actor.send(Push { number: 7, how: How::Fine }).await.unwrap();
    node.actor::<Fragile>("other").send(Push { number: 8, how: How::Fine }).await.unwrap();
    eventually("others go on", || node.statistics().waiting == 1).await;
    node.stop().await.unwrap();
    drop((actor, node));

    let node = fragile(folder.path()).await;
    let actor = node.actor::<Fragile>("one");
    assert_eq!(node.statistics().waiting, 1, "still paused");
    actor.resume().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(actor.ask(Pushed).await.unwrap(), [7]);
    // Its budget is whole again.
    actor.send(Push { number: 0, how: How::Poison }).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.paused().is_empty());
    node.stop().await.unwrap();
}

/// The same actor type with a state of type `S`.
struct Changed<S>(std::marker::PhantomData<fn() -> S>);

impl Actor for Changed<u64> {
    const TYPE: &'static str = "changed";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Pushed>();
    }
}

impl Handler<Pushed> for Changed<u64> {
    async fn handle(&self, count: &mut Durable<u64>, _: Pushed, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        **count += 200;
        Ok(vec![u32::try_from(**count)?])
    }
}

impl Actor for Changed<String> {
    const TYPE: &'static str = "changed";
    const BUDGET: Budget = Budget::new(2, Duration::from_secs(600));
    type State = String;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Pushed>();
    }
}

impl Handler<Pushed> for Changed<String> {
    async fn handle(&self, _: &mut Durable<String>, _: Pushed, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_read_pauses_its_actor_and_loses_nothing() {
    let folder = everpost_tests::folder();
    let right = || Node::builder("node", folder.path()).actor(Changed::<u64>(std::marker::PhantomData));
    let node = right().start().await.unwrap();
    assert_eq!(node.actor::<Changed<u64>>("one").ask(Pushed).await.unwrap(), [200]);
    node.stop().await.unwrap();
    drop(node);

    let wrong = Node::builder("node", folder.path()).actor(Changed::<String>(std::marker::PhantomData));
    let node = wrong.config(everpost_tests::config()).start().await.unwrap();
    let actor = node.actor::<Changed<String>>("one");
    actor.send(Pushed).await.unwrap();
    eventually("its budget is spent", || actor.paused().is_some()).await;
    assert_eq!((node.statistics().failed, node.statistics().waiting), (0, 1), "no failure of the message");
    node.stop().await.unwrap();
    drop((actor, node));

    let node = right().start().await.unwrap();
    let actor = node.actor::<Changed<u64>>("one");
    actor.resume().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(actor.ask(Pushed).await.unwrap(), [600], "the state and the message are there");
    node.stop().await.unwrap();
}
