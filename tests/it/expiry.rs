//! Messages with an expiry waited for their turn to leave: they filled their mailbox, the node and then the dead letters, and
//! held back everybody else.

use std::time::Duration;

use everpost::{AskError, NodeConfig, ProcessedError};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const GATE: u32 = 0;
const SOON: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn expired_messages_of_a_paused_mailbox_leave_without_a_turn_and_count_against_no_bound() {
    const MESSAGES: usize = 3000;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig {
        dead_letters_max: 100,
        mailbox_messages_max: MESSAGES,
        node_messages_max: MESSAGES + 1,
        ..everpost_tests::config()
    };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.pause("a customer is away").await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..MESSAGES {
        receipts.push(actor.send(Script::new([Step::Append(1)])).expires_in(SOON).submit().await.unwrap());
    }
    eventually("all have left", || node.statistics().waiting == 0).await;
    assert_eq!(node.dead_letters().count(), 0, "by default they are dropped");
    let told = receipts.pop().unwrap().processed().await;
    assert!(matches!(told, Ok(()) | Err(ProcessedError::GivenUp(_))), "{told:?}");
    let last = actor.send(Script::new([Step::Append(2)])).try_send().unwrap();
    actor.resume().await.unwrap();
    soon("a later one is handled", last.processed()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [2], "none of them had a turn");
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_message_leaves_behind_a_head_that_backs_off_or_is_in_hand_and_whoever_asked_is_told() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    for (key, head) in [("backs_off", Step::RetryAfter(1, 3_600_000)), ("in_hand", Step::Wait(GATE))] {
        let actor = node.actor::<Worker>(key);
        actor.send(Script::new([head])).await.unwrap();
        let asked = actor.ask(Script::new([Step::Append(1)])).expires_in(SOON).timeout(Duration::from_secs(60)).await;
        assert!(matches!(&asked, Err(AskError::GivenUp(reason)) if reason.contains("deadline")), "{asked:?}");
    }
    assert_eq!((node.statistics().waiting, node.dead_letters().count()), (2, 0), "the heads alone are left");
    probe.open(GATE);
    node.stop().await.unwrap();
}
