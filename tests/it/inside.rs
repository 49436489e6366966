//! Inside a turn everything goes through the turn: a handle refuses, and works again outside.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use everpost::{
    Actor, AskError, CancelError, Child, DeadLetterError, Durable, Failure, Group, GroupEnded, Handler, Handlers,
    Message, Node, NodeEnded, PauseError, ProcessedError, QueryError, QueryHandler, Receipt, Refusal, ReopenError,
    Schedule, SendError, Sequence, StopError, SuperviseError, Supervised, TriggerError, Turn,
};
use everpost_tests::doors::public_async_functions;
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};

/// What may be awaited inside a handler, and why: none of it waits for the turn that awaits it, or acts for it.
/// Everything else is refused there.
const USABLE: [(&str, &str); 15] = [
    ("ChildContext::stopping", "a node that stops ends its groups first, and waits for turns after that"),
    ("DeadLetters::list", "it reads, after the commit of what was decided before"),
    ("DeadLetters::get", "it reads, after the commit of what was decided before"),
    ("Hold::ack", "it decides on a message that was handed over to whoever has the hold"),
    ("Hold::ack_and_send", "it decides on a message that was handed over to whoever has the hold"),
    ("Hold::nack", "it decides on a message that was handed over to whoever has the hold"),
    ("Hold::reject", "it decides on a message that was handed over to whoever has the hold"),
    ("NodeBuilder::check_upgrade", "it is another store; one that is in use is waited for, five seconds at most"),
    ("NodeBuilder::start", "it is another node; a store that is in use is waited for, five seconds at most"),
    ("Receipt::accepted", "it waits for a commit, which needs no turn"),
    ("Receipt::delivered", "it waits for another node to store the message, which needs no turn"),
    ("Timers::list", "it reads"),
    ("Timers::get", "it reads"),
    ("Turn::ask", "it is there for handlers"),
    ("Turn::committed", "it is there for handlers"),
];

/// Tries every door of a handle from inside its handler.
#[derive(Debug, Default)]
struct Trespasser {
    node: Arc<OnceLock<Node>>,
    receipt: Arc<Mutex<Option<Receipt>>>,
    group: Arc<OnceLock<Supervised>>,
    refused: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "try")]
struct Try;

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "be-friendly")]
struct Spawn;

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "bump", reply = u32)]
struct Bump;

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "look", reply = u32)]
struct Look;

impl Actor for Trespasser {
    const TYPE: &'static str = "trespasser";
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Try>();
        handlers.on::<Spawn>();
        handlers.on::<Bump>();
        handlers.on_query::<Look>();
    }
}

impl Handler<Bump> for Trespasser {
    async fn handle(&self, count: &mut Durable<u32>, Bump: Bump, _: &mut Turn<'_>) -> Result<u32, Failure> {
        **count += 1;
        Ok(**count)
    }
}

impl QueryHandler<Look> for Trespasser {
    fn answer(&self, count: &u32, Look: Look) -> u32 {
        *count
    }
}

impl Handler<Try> for Trespasser {
    async fn handle(&self, _: &mut Durable<u32>, Try: Try, _: &mut Turn<'_>) -> Result<(), Failure> {
        let node = self.node.get().expect("set before it is used");
        let other = node.actor::<Self>("other");
        // After an await the handler may be on another thread: the mark is there, too.
        tokio::task::yield_now().await;
        let mut refused = Vec::new();
        let mut note = |door: &'static str, is_refused: bool| {
            if is_refused {
                refused.push(door);
            }
        };
        note("SendBuilder", is_not_sent(&other.send(Bump).await));
        note("SendBuilder::submit", is_not_sent(&other.send(Bump).submit().await));
        note("SendBuilder::try_submit", is_not_sent(&other.send(Bump).try_submit()));
        note("Ask", matches!(other.ask(Bump).await, Err(AskError::NotAccepted(Refusal::InsideTurn))));
        note("Query", matches!(other.query(Look).await, Err(QueryError::NotAccepted(Refusal::InsideTurn))));
        // These would wait for the handler, and so for themselves.
        note("Node::reopen", matches!(node.reopen().await, Err(ReopenError::InsideTurn)));
        note("Node::stop", matches!(node.stop().await, Err(StopError::InsideTurn)));
        note("Node::drained", matches!(node.drained().await, Err(NodeEnded::InsideTurn)));
        note("Node::failed", matches!(node.failed().await, NodeEnded::InsideTurn));
        let supervised = node.supervise(Group::one_for_one("group")).await;
        note("Node::supervise", matches!(supervised, Err(SuperviseError::InsideTurn)));
        let receipt = self.receipt.lock().unwrap().take();
        if let Some(receipt) = receipt {
            receipt.accepted().await?;
            receipt.delivered().await?;
            let processed = receipt.processed().await;
            note("Receipt::processed", matches!(processed, Err(ProcessedError::Ended(NodeEnded::InsideTurn))));
        }
        if let Some(group) = self.group.get() {
            note("Supervised::started", matches!(group.started().await, Err(GroupEnded::WaitsForItself(_))));
            note("Supervised::ended", matches!(group.ended().await, Err(GroupEnded::WaitsForItself(_))));
            note("Supervised::stop", matches!(group.stop().await, Err(GroupEnded::WaitsForItself(_))));
        }
        note("ActorHandle::pause", is_not_ordered(&other.pause("why not").await));
        note("ActorHandle::resume", is_not_ordered(&other.resume().await));
        note("Node::pause_type", is_not_ordered(&node.pause_type::<Self>("why not").await));
        note("Node::resume_type", is_not_ordered(&node.resume_type::<Self>().await));
        let letters = node.dead_letters();
        note("DeadLetters::replay", is_not_decided(&letters.replay(Sequence(1)).await));
        note("DeadLetters::edit", is_not_decided(&letters.edit(Sequence(1), &Bump).await));
        note("DeadLetters::delete", is_not_decided(&letters.delete(Sequence(1)).await));
        let later = || Schedule::every(Duration::from_secs(3600)).expect("an hour can be waited for");
        note("ActorHandle::schedule", is_not_sent(&other.schedule(Bump, later()).await));
        note("ActorHandle::schedule_named", is_not_sent(&other.schedule_named("bump", Bump, later()).await));
        let cancelled = node.timers().cancel("bump").await;
        note("Timers::cancel", matches!(cancelled, Err(CancelError::NotAccepted(Refusal::InsideTurn))));
        let triggered = node.timers().trigger("bump").await;
        note("Timers::trigger", matches!(triggered, Err(TriggerError::NotAccepted(Refusal::InsideTurn))));

        // What only looks is no door.
        assert!(letters.list().await?.is_empty() && letters.get(Sequence(1)).await?.is_none());
        assert!(node.timers().list().await?.is_empty() && node.timers().get("bump").await?.is_none());
        *self.refused.lock().unwrap() = refused;
        Ok(())
    }
}

fn is_not_sent<T, M>(sent: &Result<T, SendError<M>>) -> bool {
    matches!(sent, Err(SendError::NotAccepted { reason: Refusal::InsideTurn, .. }))
}

fn is_not_ordered(ordered: &Result<(), PauseError>) -> bool {
    matches!(ordered, Err(PauseError::NotAccepted(Refusal::InsideTurn)))
}

fn is_not_decided<T>(decided: &Result<T, DeadLetterError>) -> bool {
    matches!(decided, Err(DeadLetterError::NotAccepted(Refusal::InsideTurn)))
}

impl Handler<Spawn> for Trespasser {
    async fn handle(&self, _: &mut Durable<u32>, Spawn: Spawn, _: &mut Turn<'_>) -> Result<(), Failure> {
        let other = self.node.get().expect("set before it is used").actor::<Self>("other");
        // A task of its own is not the turn: what it does is its own affair.
        tokio::spawn(async move { other.ask(Bump).await }).await??;
        Ok(())
    }
}

async fn start(folder: &std::path::Path) -> (Node, Arc<Mutex<Vec<&'static str>>>) {
    let actor = Trespasser::default();
    let (own, refused) = (Arc::clone(&actor.node), Arc::clone(&actor.refused));
    let node = Node::builder("node", folder).actor(actor).start().await.unwrap();
    own.set(node.clone()).unwrap();
    (node, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_inside_a_handler_is_refused_at_every_door() {
    let folder = everpost_tests::folder();
    let actor = Trespasser::default();
    let (own, refused) = (Arc::clone(&actor.node), Arc::clone(&actor.refused));
    let (receipt, group) = (Arc::clone(&actor.receipt), Arc::clone(&actor.group));
    let node = Node::builder("node", folder.path()).actor(actor).start().await.unwrap();
    own.set(node.clone()).unwrap();
    group.set(node.supervise(Group::one_for_one("group-of-before")).await.unwrap()).unwrap();
    let paused = node.actor::<Trespasser>("paused");
    paused.pause("so that it waits").await.unwrap();
    *receipt.lock().unwrap() = Some(paused.send(Try).submit().await.unwrap());
    soon("the turn ends", async { node.actor::<Trespasser>("one").ask(Try).await }).await.unwrap();
    let refused: BTreeSet<String> = refused.lock().unwrap().iter().map(ToString::to_string).collect();
    let usable: BTreeSet<String> = USABLE.iter().map(|(door, _)| door.to_string()).collect();
    let both: Vec<_> = refused.intersection(&usable).collect();
    assert!(both.is_empty(), "refused, and said to be usable: {both:?}");
    let doors = public_async_functions();
    let open: Vec<_> = doors.iter().filter(|door| !refused.contains(*door) && !usable.contains(*door)).collect();
    assert!(open.is_empty(), "refuse these inside a handler, or say why they may be used there: {open:?}");
    let gone: Vec<_> = usable.difference(&doors).collect();
    assert!(gone.is_empty(), "there is no such function: {gone:?}");
    assert!(refused.contains("SendBuilder::try_submit"), "which is not async");
    // Nothing has left, and the same handle works outside.
    assert_eq!(node.actor::<Trespasser>("other").query(Look).await.unwrap(), 0);
    assert_eq!(node.actor::<Trespasser>("other").ask(Bump).await.unwrap(), 1);
    soon("it stops", node.stop()).await.unwrap();
}

/// A task that stops its node, or its own group, used to be waited for until it was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_group_cannot_wait_for_its_own_end() {
    let folder = everpost_tests::folder();
    let (node, _) = start(folder.path()).await;
    let own = Arc::new(OnceLock::<Supervised>::new());
    let other = node.supervise(Group::one_for_one("other")).await.unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let child = Child::transient("child", {
        let (own, node, other) = (Arc::clone(&own), node.clone(), other.clone());
        move |_| {
            let (own, node, other, tell) = (Arc::clone(&own), node.clone(), other.clone(), Arc::clone(&tell));
            async move {
                eventually("the group is known", || own.get().is_some()).await;
                let group = own.get().unwrap();
                let reopened = node.reopen().await;
                assert!(matches!(reopened, Err(ReopenError::InsideTask)), "{reopened:?}");
                let stopped = (node.stop().await, group.stop().await, group.ended().await, other.stop().await);
                let _ = tell.lock().unwrap().take().unwrap().send(stopped);
                Ok(())
            }
        }
    });
    let group = node.supervise(Group::one_for_one("own").child(child)).await.unwrap();
    own.set(group).unwrap();
    let (stopped, group_stopped, group_ended, other_stopped) = soon("it goes on", told).await.unwrap();
    assert!(matches!(stopped, Err(StopError::InsideTask)), "{stopped:?}");
    assert!(matches!(group_stopped, Err(GroupEnded::WaitsForItself(_))), "{group_stopped:?}");
    assert!(matches!(group_ended, Err(GroupEnded::WaitsForItself(_))), "{group_ended:?}");
    other_stopped.unwrap();
    soon("it stops", node.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_works_in_a_task_that_a_handler_spawns() {
    let folder = everpost_tests::folder();
    let (node, _) = start(folder.path()).await;
    soon("the turn ends", async { node.actor::<Trespasser>("one").ask(Spawn).await }).await.unwrap();
    assert_eq!(node.actor::<Trespasser>("other").query(Look).await.unwrap(), 1);
    node.stop().await.unwrap();
}
