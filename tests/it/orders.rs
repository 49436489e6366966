//! In which order a mailbox lets its messages through: priorities, messages set aside, and those that failed.

use std::sync::Arc;
use std::time::Duration;

use everpost::{
    Actor, Durable, Expiry, Failure, Handler, Handlers, Message, Node, NodeConfig, Order, Priority, Reason, Turn,
};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker, read, worker, workers};
use serde::{Deserialize, Serialize};

const GATE: u32 = 0;

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

/// A worker whose handler waits at the gate, so that messages gather behind it.
async fn held_up(node: &Node, probe: &Arc<Probe>) -> everpost::ActorHandle<Worker> {
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    actor
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priorities_go_first_and_each_is_first_in_first_out() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = held_up(&node, &probe).await;
    let order = [Priority::Low, Priority::Normal, Priority::Urgent, Priority::High];
    for round in 0..3 {
        for (rank, priority) in (0..).zip(order) {
            actor.send(append(round * 10 + rank)).priority(priority).await.unwrap();
        }
    }
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [2, 12, 22, 3, 13, 23, 1, 11, 21, 0, 10, 20]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_hold_for_sends_of_turns_and_over_a_restart() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = held_up(&node, &probe).await;
    node.actor::<Worker>("sender").send(Script::new([Step::Send(worker("one"), vec![Step::Append(1)])])).await.unwrap();
    node.actor::<Worker>("sender")
        .send(Script::new([Step::SendAs(Priority::Urgent, worker("one"), vec![Step::Append(2)])]))
        .await
        .unwrap();
    actor.send(append(3)).priority(Priority::High).await.unwrap();
    soon("both are sent", async {
        while node.statistics().handled < 2 || node.statistics().waiting < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(soon("it stops", node.stop()).await);
    let probe = Probe::new();
    probe.open(GATE);
    let node = workers(folder.path(), &probe).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [2, 3, 1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_urgent_messages_does_not_starve_the_others() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = held_up(&node, &probe).await;
    actor.send(append(1)).priority(Priority::Low).await.unwrap();
    for _ in 0..200 {
        drop(actor.send(Script::new([Step::Append(0)])).submit().await.unwrap());
        drop(actor.send(append(9)).priority(Priority::Urgent).submit().await.unwrap());
    }
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    let entries = read(&actor).await.entries;
    let low = entries.iter().position(|entry| *entry == 1).expect("it was handled");
    assert!(low < 399, "before the last of those that came after it: {low}");
    assert!(low >= 64, "urgent ones go first: {low}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_urgent_passes_a_message_that_backs_off_and_nothing_else_does() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = held_up(&node, &probe).await;
    actor.send(Script::new([Step::RetryAfter(1, 300), Step::Append(1)])).await.unwrap();
    actor.send(append(2)).await.unwrap();
    actor.send(append(3)).priority(Priority::Low).await.unwrap();
    actor.send(append(4)).priority(Priority::High).await.unwrap();
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [4, 1, 2, 3]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_message_lets_others_pass_and_counts_no_attempt() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { attempts_max: 2, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::DeferUntil(1, 3), Step::Note, Step::Append(9)])).await.unwrap();
    for number in 0..3 {
        actor.send(append(number)).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [0, 1, 2, 9]);
    assert_eq!(probe.seen().of("worker/one").iter().map(|note| note.attempt).collect::<Vec<_>>(), [1]);
    assert_eq!((node.statistics().failed, node.statistics().dead_lettered), (0, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_message_is_still_deferred_after_a_restart() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let deferred = Script::new([Step::Reach(GATE), Step::DeferUntil(50, 2), Step::Append(9)]);
    actor.send(deferred).await.unwrap();
    probe.reached(GATE, 2).await;
    node.stop().await.unwrap();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(append(1)).await.unwrap();
    actor.send(append(2)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2, 9]);
    node.stop().await.unwrap();
}

/// Counts in its state; fails up to an attempt.
struct Skipping;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "item")]
struct Item {
    number: u32,
    fail_up_to: u32,
}

impl Actor for Skipping {
    const TYPE: &'static str = "skipping";
    const ORDER: Order = Order::Skip;
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Item>();
        handlers.on::<Count>();
    }
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "numbers", reply = Vec<u32>)]
struct Count;

impl Handler<Item> for Skipping {
    async fn handle(&self, numbers: &mut Durable<Vec<u32>>, item: Item, turn: &mut Turn<'_>) -> Result<(), Failure> {
        if turn.attempt() <= item.fail_up_to {
            return Err(Failure::retry_after(Duration::from_millis(20), "told to fail"));
        }
        numbers.push(item.number);
        Ok(())
    }
}

impl Handler<Count> for Skipping {
    async fn handle(&self, numbers: &mut Durable<Vec<u32>>, _: Count, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        Ok(numbers.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_skip_others_pass_a_message_that_fails_and_it_is_given_up_on_alone() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { attempts_max: 3, ..everpost_tests::config() };
    let node = Node::builder("node", folder.path()).actor(Skipping).config(config).start().await.unwrap();
    let actor = node.actor::<Skipping>("one");
    for (number, fail_up_to) in [(1, 1), (2, 99), (3, 0), (4, 0)] {
        drop(actor.send(Item { number, fail_up_to }).submit().await.unwrap());
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(actor.ask(Count).await.unwrap(), [3, 4, 1]);
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!(
        letters.iter().map(|letter| (letter.reason, letter.attempts)).collect::<Vec<_>>(),
        [(Reason::AttemptsSpent, 3)]
    );
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_message_becomes_a_dead_letter_and_never_reaches_its_handler() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = held_up(&node, &probe).await;
    let at_once = Duration::from_millis(1);
    let note = actor.send(Script::new([Step::Note])).expires_in(at_once).when_expired(Expiry::DeadLetter);
    let receipt = note.submit().await.unwrap();
    let asked = actor.ask(append(5)).expires_in(at_once).when_expired(Expiry::DeadLetter);
    actor.send(append(7)).expires_in(Duration::from_secs(600)).await.unwrap();
    let asked = soon("it is told", asked).await;
    probe.open(GATE);
    let id = receipt.id();
    let told = soon("it is told", receipt.processed()).await;
    assert!(matches!(told, Err(everpost::ProcessedError::GivenUp(_))), "{told:?}");
    assert!(matches!(&asked, Err(everpost::AskError::GivenUp(why)) if why.contains("its time was over")), "{asked:?}");
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [7]);
    assert!(probe.seen().notes.is_empty(), "no handler has seen it");
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!(
        letters.iter().map(|letter| (letter.reason, letter.attempts)).collect::<Vec<_>>(),
        [(Reason::Expired, 0), (Reason::Expired, 0)]
    );
    assert_eq!(letters[0].id, id);
    // A replayed one is handled after all.
    node.dead_letters().replay(letters[0].sequence).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(probe.seen().notes[0].message, id.to_string());
    node.stop().await.unwrap();
}
