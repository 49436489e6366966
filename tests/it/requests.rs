//! Idempotency keys: what is sent twice under one key counts once, wherever it comes from and whatever crashes.

use std::time::Duration;

use everpost::{AskError, NodeConfig, ProcessedError, Reason, Refusal, SendError};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, worker, workers};

const GATE: u32 = 0;

fn append(number: u32) -> Script {
    Script::new([Step::Note, Step::Append(number)])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_under_a_key_runs_one_turn_and_gets_the_same_reply_also_after_a_restart() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    assert_eq!(actor.ask(append(1)).idempotency_key("order-42").await.unwrap(), [1]);
    actor.send(append(2)).await.unwrap();
    assert_eq!(actor.ask(append(1)).idempotency_key("order-42").await.unwrap(), [1], "the reply of the first");
    node.stop().await.unwrap();
    drop(node);
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    assert_eq!(actor.ask(append(1)).idempotency_key("order-42").await.unwrap(), [1]);
    // Without an ask for it the same.
    actor.send(append(1)).idempotency_key("order-42").await.unwrap();
    // Another key, and another address under the same one, have nothing to do with it.
    assert_eq!(actor.ask(append(3)).idempotency_key("order-43").await.unwrap(), [1, 2, 3]);
    assert_eq!(node.actor::<Worker>("two").ask(append(4)).idempotency_key("order-42").await.unwrap(), [4]);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2, 3]);
    assert_eq!(probe.seen().of("worker/one").len(), 3);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_wait_together_under_one_key_are_one_turn() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let actor = actor.clone();
            tokio::spawn(async move { actor.ask(append(7)).idempotency_key("k").await })
        })
        .collect();
    eventually("all wait", || node.statistics().waiting == 21).await;
    probe.open(GATE);
    for ask in asks {
        assert_eq!(soon("it is answered", ask).await.unwrap().unwrap(), [7]);
    }
    assert_eq!(read(&actor).await.entries, [7]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_message_is_a_typed_error_and_has_no_effect() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    // Neither was handled yet, so the second is found out by its turn.
    let first = actor.send(append(1)).idempotency_key("k").submit().await.unwrap();
    let second = actor.send(append(2)).idempotency_key("k").submit().await.unwrap();
    probe.open(GATE);
    soon("it is processed", first.processed()).await.unwrap();
    let reused = soon("it is told", second.processed()).await;
    assert!(matches!(reused, Err(ProcessedError::KeyReused)), "{reused:?}");
    let asked = actor.ask(append(3)).idempotency_key("k").await;
    assert!(matches!(asked, Err(AskError::KeyReused)), "{asked:?}");
    let sent = actor.send(append(4)).idempotency_key("k").await.unwrap_err();
    assert!(matches!(&sent, SendError::NotAccepted { reason: Refusal::KeyReused, .. }), "{sent:?}");
    assert_eq!(sent.into_message().unwrap().steps, append(4).steps, "it is handed back");
    assert_eq!(read(&actor).await.entries, [1]);
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.reason).collect::<Vec<_>>(), [Reason::KeyReused]);
    assert!(node.paused().is_empty());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_once_over_nodes_and_restarts_of_either() {
    let net = Net::new(&["east", "north", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let ask = |node: &everpost::Node, number| {
        let actor = node.actor::<Worker>("one");
        async move { actor.ask(append(number)).idempotency_key("k").await }
    };
    assert_eq!(soon("it is answered", ask(&east, 1)).await.unwrap(), [1]);
    assert_eq!(soon("it is answered", ask(&west, 1)).await.unwrap(), [1]);
    stop([east, west]).await;
    let (north, west) = (net.start("north", &probe).await, net.start("west", &probe).await);
    linked(&[&north, &west]).await;
    assert_eq!(soon("it is answered", ask(&north, 1)).await.unwrap(), [1]);
    let reused = soon("it is told", ask(&north, 2)).await;
    assert!(matches!(reused, Err(AskError::KeyReused)), "{reused:?}");
    settled(&[&north, &west]).await;
    assert_eq!(probe.seen().of("worker/one").len(), 1, "one turn");
    stop([north, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_sends_under_a_key_and_fails_or_repeats_itself_sends_once() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let sends = Script::new([Step::SendUnder("k".into(), worker("one"), vec![Step::Append(1)]), Step::FailUpTo(2)]);
    node.actor::<Worker>("sender").send(sends.clone()).await.unwrap();
    node.actor::<Worker>("sender").send(sends).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_its_retention_also_where_nothing_ever_counts_as_idle() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig {
        idempotency_retention: Duration::from_millis(1),
        idempotency_keys_max: 1,
        idle_after: Duration::MAX,
        ..everpost_tests::config()
    };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.ask(append(1)).idempotency_key("a").await.unwrap();
    soon("there is room for another key", async {
        while actor.ask(append(2)).idempotency_key("b").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_its_retention_and_the_number_of_keys_is_bounded() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig {
        idempotency_retention: Duration::from_millis(300),
        idempotency_keys_max: 2,
        idle_after: Duration::from_millis(20),
        ..everpost_tests::config()
    };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.ask(append(1)).idempotency_key("a").await.unwrap();
    actor.ask(append(2)).idempotency_key("b").await.unwrap();
    let full = actor.ask(append(3)).idempotency_key("c").await;
    if let Err(error) = &full {
        assert!(matches!(error, AskError::NotAccepted(Refusal::TooManyKeys)), "{error:?}");
    }
    // When older ones have expired there is room again, and the oldest counts anew.
    soon("there is room", async {
        while actor.ask(append(1)).idempotency_key("a").await.map_or(true, |reply| reply.len() < 3) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(read(&actor).await.entries.len() >= 3);
    node.stop().await.unwrap();
}
