//! States whose bytes nobody could read: what serde writes of them says less than it needs to read them.

use everpost::{Actor, AskError, Durable, Failure, Handler, Handlers, Message, Node, NodeBuilder, State, Turn};
use everpost_tests::wait::soon;
use serde::{Deserialize, Serialize};

/// A field that is left out is missed when the others are read.
#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "skipping", version = 1)]
struct Skipping {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    count: u64,
}

/// Nothing says which of these it is.
#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "untagged", version = 1)]
struct Untagged {
    any: Any,
    count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(u64),
    Text(String),
}

impl Default for Any {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// Adds one, and leaves a note if there is one.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "count", reply = u64)]
struct Count(Option<String>);

struct Skips;
struct Mixes;

impl Actor for Skips {
    const TYPE: &'static str = "skips";
    type State = Skipping;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Count>();
    }
}

impl Actor for Mixes {
    const TYPE: &'static str = "mixes";
    type State = Untagged;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Count>();
    }
}

impl Handler<Count> for Skips {
    async fn handle(&self, state: &mut Durable<Skipping>, count: Count, _: &mut Turn<'_>) -> Result<u64, Failure> {
        state.note = count.0;
        state.count += 1;
        Ok(state.count)
    }
}

impl Handler<Count> for Mixes {
    async fn handle(&self, state: &mut Durable<Untagged>, count: Count, _: &mut Turn<'_>) -> Result<u64, Failure> {
        state.any = count.0.map_or(Any::Number(0), Any::Text);
        state.count += 1;
        Ok(state.count)
    }
}

/// It was acknowledged, and the next activation could not read it: the actor stood for good, in every build.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_could_not_be_read_again_is_not_stored() {
    let folder = everpost_tests::folder();
    let build = || -> NodeBuilder {
        Node::builder("node", folder.path()).actor(Skips).actor(Mixes).config(everpost_tests::config())
    };
    let refused = |asked: Result<u64, AskError>| {
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("could not be read again, so it is not stored"), "{error}");
    };
    let node = build().start().await.unwrap();
    refused(node.actor::<Mixes>("one").ask(Count(None)).await);
    refused(node.actor::<Mixes>("one").ask(Count(Some("text".into()))).await);
    refused(node.actor::<Skips>("one").ask(Count(None)).await);
    let noted = || Count(Some("a note".into()));
    assert_eq!(node.actor::<Skips>("one").ask(noted()).await.unwrap(), 1, "nothing came of the one before");
    assert_eq!(node.dead_letters().count(), 3);
    node.stop().await.unwrap();
    drop(node);

    let report = build().check_upgrade().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let node = build().start().await.unwrap();
    refused(node.actor::<Skips>("one").ask(Count(None)).await);
    assert_eq!(node.actor::<Skips>("one").ask(noted()).await.unwrap(), 2);
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.paused().is_empty());
    node.stop().await.unwrap();
}
