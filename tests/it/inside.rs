//! Inside a turn everything goes through the turn: a handle refuses, and works again outside.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use everpost::{
    Actor, Answer, AskError, Child, DeadLetterError, Durable, Failure, Group, GroupEnded, Handler, Handlers, Message,
    Node, NodeEnded, PauseError, ProcessedError, QueryError, Receipt, Refusal, SendError, StopError, SuperviseError,
    Supervised, Turn,
};
use everpost_tests::wait::soon;
use serde::{Deserialize, Serialize};

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
        handlers.answers::<Look>();
    }
}

impl Handler<Bump> for Trespasser {
    async fn handle(&self, count: &mut Durable<u32>, Bump: Bump, _: &mut Turn<'_>) -> Result<u32, Failure> {
        **count += 1;
        Ok(**count)
    }
}

impl Answer<Look> for Trespasser {
    fn answer(&self, count: &u32, Look: Look) -> u32 {
        *count
    }
}

impl Handler<Try> for Trespasser {
    async fn handle(&self, _: &mut Durable<u32>, Try: Try, _: &mut Turn<'_>) -> Result<(), Failure> {
        let other = self.node.get().expect("set before it is used").actor::<Self>("other");
        // After an await the handler may be on another thread: the mark is there, too.
        tokio::task::yield_now().await;
        let inside = |reason: &Refusal| matches!(reason, Refusal::InsideTurn);
        let mut refused = Vec::new();
        if matches!(other.send(Bump).await, Err(SendError::NotAccepted { reason, .. }) if inside(&reason)) {
            refused.push("send");
        }
        if matches!(other.submit(Bump).await, Err(SendError::NotAccepted { reason, .. }) if inside(&reason)) {
            refused.push("submit");
        }
        if matches!(other.try_send(Bump), Err(SendError::NotAccepted { reason, .. }) if inside(&reason)) {
            refused.push("try_send");
        }
        if matches!(other.ask(Bump).await, Err(AskError::NotAccepted(reason)) if inside(&reason)) {
            refused.push("ask");
        }
        if matches!(other.query(Look).await, Err(QueryError::NotAccepted(reason)) if inside(&reason)) {
            refused.push("query");
        }
        let node = self.node.get().expect("set before it is used");
        // These used to wait for the handler, and so for themselves.
        if matches!(node.stop().await, Err(StopError::InsideTurn)) {
            refused.push("stop");
        }
        if matches!(node.drained().await, Err(NodeEnded::InsideTurn)) {
            refused.push("drained");
        }
        if matches!(node.supervise(Group::one_for_one("group")).await, Err(SuperviseError::InsideTurn)) {
            refused.push("supervise");
        }
        let receipt = self.receipt.lock().unwrap().take();
        if let Some(receipt) = receipt
            && matches!(receipt.processed().await, Err(ProcessedError::Ended(NodeEnded::InsideTurn)))
        {
            refused.push("processed");
        }
        if let Some(group) = self.group.get() {
            let ends = [group.started().await, group.ended().await, group.stop().await];
            if ends.iter().all(|end| matches!(end, Err(GroupEnded::WaitsForItself(_)))) {
                refused.push("group");
            }
        }
        let paused = [other.pause("why not").await, other.resume().await, node.pause_type::<Self>("why not").await];
        if paused.iter().all(|paused| matches!(paused, Err(PauseError::NotAccepted(reason)) if inside(reason))) {
            refused.push("pause");
        }
        if matches!(node.dead_letters().replay(1).await, Err(DeadLetterError::NotAccepted(reason)) if inside(&reason)) {
            refused.push("replay");
        }
        if matches!(other.send_after(Bump, Duration::ZERO).await, Err(SendError::NotAccepted { reason, .. }) if inside(&reason))
        {
            refused.push("send_after");
        }
        *self.refused.lock().unwrap() = refused;
        Ok(())
    }
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
    *receipt.lock().unwrap() = Some(paused.submit(Try).await.unwrap());
    soon("the turn ends", async { node.actor::<Trespasser>("one").ask(Try).await }).await.unwrap();
    let doors = ["send", "submit", "try_send", "ask", "query", "stop", "drained", "supervise", "processed", "group"];
    let doors: Vec<_> = doors.into_iter().chain(["pause", "replay", "send_after"]).collect();
    assert_eq!(*refused.lock().unwrap(), doors);
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
                let group = loop {
                    match own.get() {
                        Some(group) => break group,
                        None => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                };
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
