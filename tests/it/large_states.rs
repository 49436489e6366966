//! A state that grows beyond what one commit takes: each message that made it larger became a dead letter, without a
//! warning. Now it is told early, then its actor is paused and keeps its messages.

use std::path::Path;

use everpost::{Node, NodeConfig, PauseReason, Reason, StoreConfig};
use everpost_tests::logs;
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, quick, read};

/// How large a commit may be.
const COMMIT: usize = 64 * 1024;

async fn start(name: &str, folder: &Path, queue_bytes_max: usize) -> Node {
    let store = StoreConfig { queue_bytes_max, ..StoreConfig::default() };
    let config = NodeConfig { message_bytes_max: 24_300, store, ..everpost_tests::config() };
    let builder = Node::builder(name, folder).actor(Worker::new(&Probe::new()));
    builder.actor(Quick::new(&Probe::new())).config(config).start().await.unwrap()
}

fn grow(bytes: u32, entry: u32) -> Script {
    Script::new([Step::Append(entry), Step::Grow(bytes)])
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_state_that_is_too_large_became_dead_letters_and_now_wait_for_a_larger_setting() {
    logs::keep();
    let (name, folder) = ("large-state", everpost_tests::folder());
    let node = start(name, folder.path(), COMMIT).await;
    let actor = node.actor::<Worker>("one");
    // Each adds an eighth: the fourth makes half of it, the seventh four fifths, the eighth is one too many.
    let eighth = u32::try_from(COMMIT / 8).unwrap();
    for entry in 1..=10 {
        actor.send(grow(eighth, entry)).await.unwrap();
    }
    eventually("it is paused", || actor.paused().is_some()).await;
    let reason = actor.paused().unwrap().reason;
    let PauseReason::StateTooLarge { bytes, bytes_max, setting } = &reason else { panic!("{reason}") };
    assert!(*bytes > *bytes_max && *bytes_max == COMMIT as u64 && setting == "queue_bytes_max", "{reason}");
    assert!(["queue_bytes_max", "resume", "kept"].iter().all(|word| reason.to_string().contains(word)), "{reason}");
    let statistics = node.statistics();
    assert_eq!((statistics.handled, statistics.waiting, statistics.failed), (7, 3, 0), "no attempt is counted");
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    let told = logs::lines(name, "large state");
    let told: Vec<_> = told.iter().map(|line| (line.field("actor").to_owned(), line.level)).collect();
    assert_eq!(told, vec![("worker/one".to_owned(), tracing::Level::WARN); 2], "once at half, once at four fifths");
    assert_eq!(logs::lines(name, "paused").len(), 1);
    // Resumed as it is, it is paused again by the same message; the state is as it was, and others go on.
    actor.resume().await.unwrap();
    eventually("it is paused again", || actor.paused().is_some()).await;
    assert_eq!(read(&actor).await.entries, [1, 2, 3, 4, 5, 6, 7]);
    soon("others go on", node.actor::<Worker>("two").ask(grow(1, 1))).await.unwrap();
    node.stop().await.unwrap();

    let node = start(name, folder.path(), 2 * COMMIT).await;
    let actor = node.actor::<Worker>("one");
    assert_eq!(actor.paused().map(|paused| paused.reason), Some(reason), "it is stored");
    actor.resume().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, (1..=10).collect::<Vec<_>>());
    assert_eq!(node.statistics().failed, 0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_sends_too_much_for_one_commit_is_a_failure_of_its_message_that_says_what_is_large() {
    let folder = everpost_tests::folder();
    let node = start("large-turn", folder.path(), COMMIT).await;
    let actor = node.actor::<Worker>("one");
    // The state and the reply have 22 KB each, and the message that is sent 24.
    let entries = vec![Step::Append(u32::MAX); 4000];
    actor.send(Script::new(entries.clone())).await.unwrap();
    actor.send(Script::new(entries[..400].to_vec())).await.unwrap();
    let turn = Script::new([Step::Append(1), Step::Send(quick("two"), entries)]);
    let error = soon("it ends", actor.ask(turn)).await.unwrap_err().to_string();
    assert!(error.contains("the messages that it sends have 24") && error.contains("queue_bytes_max"), "{error}");
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.reason).collect::<Vec<_>>(), [Reason::Rejected]);
    assert_eq!((read(&actor).await.entries.len(), node.paused()), (4400, vec![]));
    node.stop().await.unwrap();
}

/// Its state took the larger part of that commit, though less than every other turn leaves room for: it was paused for
/// one message.
#[tokio::test(flavor = "multi_thread")]
async fn one_turn_that_sends_too_much_pauses_nobody_whose_state_has_room() {
    let folder = everpost_tests::folder();
    let node = start("large-send", folder.path(), COMMIT).await;
    let actor = node.actor::<Worker>("one");
    // Three quarters of a commit.
    actor.send(grow(u32::try_from(COMMIT / 4 * 3).unwrap(), 1)).await.unwrap();
    let turn = Script::new([Step::Append(2), Step::Send(quick("two"), vec![Step::Append(u32::MAX); 4000])]);
    let error = soon("it ends", actor.ask(turn)).await.unwrap_err().to_string();
    assert!(error.contains("the messages that it sends have 24"), "{error}");
    soon("others go on", actor.ask(Script::new([Step::Append(3)]))).await.unwrap();
    assert_eq!((read(&actor).await.entries, node.paused()), (vec![1, 3], vec![]));
    node.stop().await.unwrap();
}
