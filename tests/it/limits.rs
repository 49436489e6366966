//! How long a handler may take, and how much may wait.

use std::time::Duration;

use everpost::{
    Actor, Budget, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, Reason, Refusal, SendError,
    StartError, Turn,
};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};

/// Takes as long as it is told to.
struct Slow;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "take")]
struct Take {
    /// In tenths of the limit, each followed by a word on progress if `tells`.
    tenths: u32,
    tells: bool,
    /// Only then.
    up_to_attempt: u32,
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "taken", reply = u32)]
struct Taken;

const LIMIT: Duration = Duration::from_millis(100);

impl Actor for Slow {
    const TYPE: &'static str = "slow";
    const TIME_LIMIT: Duration = LIMIT;
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Take>();
        handlers.on::<Taken>();
    }
}

impl Handler<Take> for Slow {
    async fn handle(&self, taken: &mut Durable<u32>, take: Take, turn: &mut Turn<'_>) -> Result<(), Failure> {
        **taken += 1;
        if turn.attempt() > take.up_to_attempt {
            return Ok(());
        }
        for _ in 0..take.tenths {
            tokio::time::sleep(LIMIT / 10).await;
            if take.tells {
                turn.progress();
            }
        }
        Ok(())
    }
}

impl Handler<Taken> for Slow {
    async fn handle(&self, taken: &mut Durable<u32>, _: Taken, _: &mut Turn<'_>) -> Result<u32, Failure> {
        Ok(**taken)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_too_long_has_failed_like_any_other_and_leaves_nothing_behind() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { attempts_max: 2, ..everpost_tests::config() };
    let node = Node::builder("node", folder.path()).actor(Slow).config(config).start().await.unwrap();
    let slow = node.actor::<Slow>("one");
    slow.send(Take { tenths: 1_000_000, tells: false, up_to_attempt: 1 }).await.unwrap();
    slow.send(Take { tenths: 1_000_000, tells: false, up_to_attempt: 9 }).await.unwrap();
    slow.send(Take { tenths: 30, tells: true, up_to_attempt: 9 }).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(slow.ask(Taken).await.unwrap(), 2, "the first in its second attempt, and the one that told of progress");
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason, letters[0].attempts), (1, Reason::AttemptsSpent, 2));
    assert!(letters[0].errors.iter().all(|error| error.contains("time limit")), "{letters:?}");
    assert_eq!(node.statistics().failed, 3);
    node.stop().await.unwrap();
}

/// A node whose first worker is held up.
async fn bounded(config: NodeConfig) -> (tempfile::TempDir, std::sync::Arc<Probe>, Node) {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    node.actor::<Worker>("one").send(Script::new([Step::Reach(0), Step::Wait(0)])).await.unwrap();
    probe.reached(0, 1).await;
    (folder, probe, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_bounded_in_bytes_and_a_send_waits_for_room() {
    let (_folder, probe, node) = bounded(NodeConfig {
        mailbox_bytes_max: 10_000,
        send_timeout: Duration::from_millis(50),
        ..everpost_tests::config()
    })
    .await;
    let actor = node.actor::<Worker>("one");
    for number in 0..2 {
        actor.send(Script::padded([Step::Append(number)], 6_000)).await.unwrap();
    }
    let full = |error: &SendError<Script>| matches!(error, SendError::NotAccepted { reason: Refusal::MailboxFull, .. });
    let refused = actor.send(Script::new([Step::Append(9)])).try_submit().unwrap_err();
    assert!(full(&refused), "{refused:?}");
    let refused = soon("it gives up", actor.send(Script::new([Step::Append(9)]))).await.unwrap_err();
    assert!(full(&refused), "{refused:?}");
    assert_eq!(refused.into_message().unwrap().steps, [Step::Append(9)], "it is handed back");
    node.actor::<Worker>("other").send(Script::padded([Step::Append(1)], 6_000)).await.unwrap();
    probe.open(0);
    soon("it drains", node.drained()).await.unwrap();
    actor.send(Script::new([Step::Append(2)])).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [0, 1, 2]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_bounded_in_messages_and_bytes_and_turns_are_not_held_back() {
    let by_messages = NodeConfig { node_messages_max: 4, ..everpost_tests::config() };
    let by_bytes = NodeConfig { node_bytes_max: 20_000, window_bytes_max: 8_000, ..everpost_tests::config() };
    for config in [by_messages, by_bytes] {
        let (_folder, probe, node) = bounded(NodeConfig { send_timeout: Duration::from_millis(50), ..config }).await;
        let actor = node.actor::<Worker>("one");
        for number in 0..3 {
            actor.send(Script::padded([Step::Append(number)], 6_800)).await.unwrap();
        }
        let other = node.actor::<Worker>("other");
        let refused = soon("it gives up", other.send(Script::new([Step::Append(9)]))).await.unwrap_err();
        let full = matches!(&refused, SendError::NotAccepted { reason: Refusal::NodeFull { .. }, .. });
        assert!(full, "{refused:?}");
        let mut waiting = std::pin::pin!(other.send(Script::new([Step::Append(5)])).into_future());
        assert!(tokio::time::timeout(Duration::ZERO, waiting.as_mut()).await.is_err());
        probe.open(0);
        soon("there is room", waiting).await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        assert_eq!((read(&actor).await.entries, read(&other).await.entries), (vec![0, 1, 2], vec![5]));
        node.stop().await.unwrap();
    }
}

/// Has one constant that cannot work.
struct Odd<const CASE: usize>;

impl<const CASE: usize> Actor for Odd<CASE> {
    const TYPE: &'static str = if CASE == 0 { "not a type" } else { "odd" };
    const BUDGET: Budget = Budget::new(if CASE == 1 { 1001 } else { 1000 }, Duration::ZERO);
    const HOLDS_MAX: usize = if CASE == 2 { 0 } else { 1 };
    const HOLD_LIMIT: Duration = Duration::from_nanos(if CASE == 3 { 0 } else { 1 });
    const TIME_LIMIT: Duration = Duration::from_nanos(if CASE == 4 { 0 } else { 1 });
    type State = ();

    fn handlers(_: &mut Handlers<Self>) {}
}

/// With `HOLDS_MAX = 0` messages that are held used to wait for ever, and nobody said so.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_type_whose_messages_would_stand_still_or_fail_for_ever_is_refused_at_the_start() {
    async fn refused<const CASE: usize>() -> String {
        let folder = everpost_tests::folder();
        let started = Node::builder("node", folder.path()).actor(Odd::<CASE>).start().await;
        let Err(error @ StartError::Constant { .. }) = started else { panic!("{CASE}: {started:?}") };
        error.to_string()
    }
    let refused =
        [refused::<0>().await, refused::<1>().await, refused::<2>().await, refused::<3>().await, refused::<4>().await];
    for (constant, refused) in ["TYPE", "BUDGET", "HOLDS_MAX", "HOLD_LIMIT", "TIME_LIMIT"].iter().zip(&refused) {
        assert!(refused.contains(&format!("cannot have this `{constant}`: ")), "{refused}");
    }
    let folder = everpost_tests::folder();
    let node = Node::builder("node", folder.path()).actor(Odd::<5>).start().await.unwrap();
    node.stop().await.unwrap();
}
