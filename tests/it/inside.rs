//! Inside a turn everything goes through the turn: a handle refuses, and works again outside.

use std::sync::{Arc, Mutex, OnceLock};

use everpost::{
    Actor, Answer, AskError, Durable, Failure, Handler, Handlers, Message, Node, QueryError, Refusal, SendError, Turn,
};
use everpost_tests::wait::soon;
use serde::{Deserialize, Serialize};

/// Tries every door of a handle from inside its handler.
#[derive(Debug, Default)]
struct Trespasser {
    node: Arc<OnceLock<Node>>,
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
    let (node, refused) = start(folder.path()).await;
    soon("the turn ends", async { node.actor::<Trespasser>("one").ask(Try).await }).await.unwrap();
    assert_eq!(*refused.lock().unwrap(), ["send", "submit", "try_send", "ask", "query"]);
    // Nothing has left, and the same handle works outside.
    assert_eq!(node.actor::<Trespasser>("other").query(Look).await.unwrap(), 0);
    assert_eq!(node.actor::<Trespasser>("other").ask(Bump).await.unwrap(), 1);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_works_in_a_task_that_a_handler_spawns() {
    let folder = everpost_tests::folder();
    let (node, _) = start(folder.path()).await;
    soon("the turn ends", async { node.actor::<Trespasser>("one").ask(Spawn).await }).await.unwrap();
    assert_eq!(node.actor::<Trespasser>("other").query(Look).await.unwrap(), 1);
    node.stop().await.unwrap();
}
