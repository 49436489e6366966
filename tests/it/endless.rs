//! `Duration::MAX`, wherever a wait may be chosen, is for ever: nothing panics, and what does not wait is not held up.

use std::future::IntoFuture;
use std::time::Duration;

use everpost::{
    Actor, Backoff, Budget, Child, Durable, Failure, Group, Handler, Handlers, Hold, HoldHandler, Message, Node,
    NodeConfig, Schedule, Turn,
};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Read, Script, Step, Worker, workers};
use serde::{Deserialize, Serialize};

/// Every wait in a setting of the node; a stop after a stop that panicked panicked too.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_waits_are_for_ever_works_and_stops() {
    let max = Duration::MAX;
    let config = everpost_tests::config;
    let endless = [
        ("ask_timeout", NodeConfig { ask_timeout: max, ..config() }),
        ("stop_timeout", NodeConfig { stop_timeout: max, ..config() }),
        ("send_timeout", NodeConfig { send_timeout: max, mailbox_messages_max: 1, ..config() }),
        ("idle_after", NodeConfig { idle_after: max, ..config() }),
        ("backoff", NodeConfig { backoff: Backoff { first: max, cap: max }, ..config() }),
        ("idempotency_retention", NodeConfig { idempotency_retention: max, ..config() }),
    ];
    for (setting, config) in endless {
        let folder = everpost_tests::folder();
        let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
        let worker = node.actor::<Worker>("one");
        assert_eq!(soon(setting, worker.ask(Script::new([Step::Append(1)]))).await.unwrap(), [1], "{setting}");
        let keyed = worker.ask(Script::new([Step::Append(2)])).idempotency_key("key");
        assert_eq!(soon(setting, keyed).await.unwrap(), [1, 2], "{setting}");
        let full = node.actor::<Worker>("full");
        full.pause("it fills up").await.unwrap();
        full.send(Script::new([])).await.unwrap();
        let waits = tokio::spawn({
            let full = full.clone();
            async move { full.send(Script::new([])).await }
        });
        full.resume().await.unwrap();
        soon(setting, waits).await.unwrap().unwrap();
        soon(setting, node.stop()).await.unwrap();
        soon(setting, node.stop()).await.unwrap();
    }
}

/// Every wait in a call.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_ever_gets_its_answer() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let worker = node.actor::<Worker>("one");
    let max = Duration::MAX;
    assert_eq!(soon("an ask", worker.ask(Script::new([Step::Append(1)])).timeout(max)).await.unwrap(), [1]);
    assert_eq!(soon("a query", worker.query(Read).timeout(max)).await.unwrap().entries, [1]);
    soon("a message", worker.send(Script::new([Step::Append(2)])).expires_in(max).into_future()).await.unwrap();
    worker.schedule(Script::new([Step::Append(9)]), Schedule::after(max)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(soon("a query", worker.query(Read).timeout(max)).await.unwrap().entries, [1, 2]);
    let child = Child::permanent("endless", |context| async move {
        context.stopping().await;
        Ok(())
    });
    let child = child.stop_within(max);
    let group = node.supervise(Group::one_for_one("endless").child(child)).await.unwrap();
    soon("the group starts", group.started()).await.unwrap();
    soon("it stops", node.stop()).await.unwrap();
}

struct Patient;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "work")]
struct Work;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "keep")]
struct Keep;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "later")]
struct Later;

impl Actor for Patient {
    const TYPE: &'static str = "patient";
    const TIME_LIMIT: Duration = Duration::MAX;
    const HOLD_LIMIT: Duration = Duration::MAX;
    const HOLDS_MAX: usize = usize::MAX;
    const BUDGET: Budget = Budget::new(3, Duration::MAX);
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Work>();
        handlers.on::<Later>();
        handlers.on_hold::<Keep>();
    }
}

impl Handler<Work> for Patient {
    async fn handle(&self, _: &mut Durable<()>, _: Work, turn: &mut Turn<'_>) -> Result<(), Failure> {
        turn.progress();
        tokio::task::yield_now().await;
        turn.progress();
        // It has to wait for the limit of its time to begin.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }
}

impl Handler<Later> for Patient {
    async fn handle(&self, _: &mut Durable<()>, _: Later, _: &mut Turn<'_>) -> Result<(), Failure> {
        Err(Failure::retry_after(Duration::MAX, "never again"))
    }
}

impl HoldHandler<Keep> for Patient {
    async fn handle(&self, _: Keep, hold: Hold<Self>) -> Result<(), Failure> {
        hold.progress().expect("it is held");
        hold.ack().await.expect("it is held");
        Ok(())
    }
}

/// Every wait of an actor type, and of a failure.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_whose_waits_are_for_ever_works() {
    let folder = everpost_tests::folder();
    let node =
        Node::builder("node", folder.path()).actor(Patient).config(everpost_tests::config()).start().await.unwrap();
    soon("work", node.actor::<Patient>("one").ask(Work)).await.unwrap();
    soon("a hold", node.actor::<Patient>("one").ask(Keep)).await.unwrap();
    node.actor::<Patient>("later").send(Later).await.unwrap();
    everpost_tests::wait::eventually("it has failed", || node.statistics().failed == 1).await;
    assert_eq!(node.statistics().waiting, 1);
    soon("it stops", node.stop()).await.unwrap();
}
