//! Messages with an expiry waited for their turn to leave: they filled their mailbox, the node and then the dead
//! letters, and held back everybody else.

use std::time::Duration;

use everpost::{
    Actor, AskError, Durable, Expiry, Failure, Handler, Handlers, Message, Node, NodeConfig, ProcessedError, Reason,
    Sequence, StoreConfig, Turn, WhenFull,
};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, worker, workers};
use serde::{Deserialize, Serialize};

const GATE: u32 = 0;
const SOON: Duration = Duration::from_millis(50);

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_messages_of_a_paused_mailbox_leave_without_a_turn_and_count_against_no_bound() {
    const MESSAGES: usize = 3000;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig {
        dead_letters_max: 100,
        mailbox_messages_max: MESSAGES,
        node_messages_max: MESSAGES + 1,
        // Most bodies are beyond the window.
        window_bytes_max: 10_000,
        ..everpost_tests::config()
    };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.pause("a customer is away").await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..MESSAGES {
        receipts.push(actor.send(append(1)).expires_in(SOON).submit().await.unwrap());
    }
    eventually("all have left", || node.statistics().waiting == 0).await;
    let statistics = node.statistics();
    assert_eq!((statistics.expired, statistics.dead_lettered), (MESSAGES as u64, 0), "by default they are dropped");
    let told = receipts.pop().unwrap().processed().await;
    assert!(matches!(told, Err(ProcessedError::Expired)), "whoever asks later is told too: {told:?}");
    let last = actor.send(append(2)).try_submit().unwrap();
    actor.resume().await.unwrap();
    soon("a later one is handled", last.processed()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [2], "none of them had a turn");
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_message_leaves_behind_a_head_that_backs_off_or_is_in_flight_and_whoever_asked_is_told() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    for (key, head) in [("backs_off", Step::RetryAfter(1, 3_600_000)), ("in_flight", Step::Wait(GATE))] {
        let actor = node.actor::<Worker>(key);
        actor.send(Script::new([head])).await.unwrap();
        let asked = actor.ask(append(1)).expires_in(SOON).timeout(Duration::from_secs(60)).await;
        assert!(matches!(asked, Err(AskError::Expired)), "{asked:?}");
    }
    assert_eq!((node.statistics().waiting, node.dead_letters().count()), (2, 0), "the heads alone are left");
    probe.open(GATE);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_put_off_or_fails_in_flight_after_its_time_is_dropped_and_the_next_one_goes_on() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { attempts_max: 1_000_000, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let put_off = Script::new([Step::DeferUntil(3_600_000, 9)]);
    let put_off = actor.send(put_off).expires_in(SOON).submit().await.unwrap();
    let fails = actor.send(Script::new([Step::FailUpTo(u32::MAX)])).expires_in(SOON * 10).submit().await.unwrap();
    let next = actor.send(append(1)).submit().await.unwrap();
    for receipt in [put_off, fails] {
        let told = soon("it is told", receipt.processed()).await;
        assert!(matches!(told, Err(ProcessedError::Expired)), "{told:?}");
    }
    soon("the next one is handled", next.processed()).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((node.statistics().expired, node.dead_letters().count()), (2, 0));
    node.stop().await.unwrap();
}

/// Whose expired messages become dead letters.
struct Clerk;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "order")]
struct Order;

impl Actor for Clerk {
    const TYPE: &'static str = "clerk";
    const WHEN_EXPIRED: Expiry = Expiry::DeadLetter;
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Order>();
    }
}

impl Handler<Order> for Clerk {
    async fn handle(&self, handled: &mut Durable<u64>, _: Order, _: &mut Turn<'_>) -> Result<(), Failure> {
        **handled += 1;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_an_expired_message_is_said_by_its_sender_or_else_by_its_actor_type_also_over_a_restart() {
    logs::keep();
    let (name, folder) = ("expired-letters", everpost_tests::folder());
    let builder = || Node::builder(name, folder.path()).actor(Clerk).config(everpost_tests::config());
    let node = builder().start().await.unwrap();
    let clerk = node.actor::<Clerk>("one");
    clerk.pause("the office is closed").await.unwrap();
    let order = || clerk.send(Order).expires_in(SOON);
    let by_type = order().await.unwrap();
    order().when_expired(Expiry::Drop).await.unwrap();
    let by_sender = order().when_expired(Expiry::DeadLetter).await.unwrap();
    let later = clerk.send(Order).expires_in(Duration::from_secs(3600)).await.unwrap();
    node.stop().await.unwrap();
    let node = builder().start().await.unwrap();
    eventually("three have expired", || node.statistics().waiting == 1).await;
    let letters = node.dead_letters().list().await.unwrap();
    let known = letters.iter().map(|letter| (letter.id, letter.reason, letter.attempts)).collect::<Vec<_>>();
    assert_eq!(known, [(by_type, Reason::Expired, 0), (by_sender, Reason::Expired, 0)]);
    assert!(letters.iter().all(|letter| letter.id != later));
    // Once for both: nobody learned of them.
    let told = logs::line(name, "expired message kept", "dead letter").await;
    assert_eq!((told.field("actor"), logs::lines(name, "expired message kept").len()), ("clerk/one", 1));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_on_another_node_are_told_that_a_message_has_expired_also_after_the_fact() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let nodes = net.start_all(&probe).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    nodes[1].actor::<Worker>("one").pause("so that they wait").await.unwrap();
    let actor = nodes[0].actor::<Worker>("one");
    let late = actor.send(append(1)).expires_in(SOON).submit().await.unwrap();
    let early = tokio::spawn(actor.send(append(2)).expires_in(SOON).submit().await.unwrap().processed());
    let asked = actor.ask(append(3)).expires_in(SOON).timeout(Duration::from_secs(60)).await;
    assert!(matches!(asked, Err(AskError::Expired)), "{asked:?}");
    let early = soon("it is told", early).await.unwrap();
    assert!(matches!(early, Err(ProcessedError::Expired)), "{early:?}");
    eventually("all have left", || nodes[1].statistics().waiting == 0).await;
    let late = soon("it is told", late.processed()).await;
    assert!(matches!(late, Err(ProcessedError::Expired)), "{late:?}");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_turn_sends_expires_too() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).actor(Sender).start().await.unwrap();
    node.actor::<Worker>("receiver").pause("so that it waits").await.unwrap();
    node.actor::<Sender>("one").send(Order).await.unwrap();
    eventually("both have expired", || node.statistics().waiting == 0 && node.statistics().expired == 1).await;
    assert_eq!(node.dead_letters().list().await.unwrap()[0].reason, Reason::Expired);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_turn_sends_to_another_node_expires_too() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).with("sender", &["east"]);
    let east = net.seat("east").builder(&Probe::new()).actor(Sender).start().await.unwrap();
    east.actor::<Sender>("one").send(Order).await.unwrap();
    eventually("one is dropped", || east.statistics().expired == 1).await;
    eventually("one is a dead letter", || east.dead_letters().count() == 1).await;
    let letters = east.dead_letters().list().await.unwrap();
    let sender = letters[0].sender.as_ref().map(ToString::to_string);
    assert_eq!((letters[0].reason, sender.as_deref()), (Reason::Expired, Some("sender/one")));
    assert_eq!(east.statistics().outbox, 0);
    stop([east]).await;
}

/// Sends two messages that expire: one to be dropped, one to be kept.
struct Sender;

impl Actor for Sender {
    const TYPE: &'static str = "sender";
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Order>();
    }
}

impl Handler<Order> for Sender {
    async fn handle(&self, _: &mut Durable<()>, _: Order, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let receiver = Worker::at(&worker("receiver").key);
        turn.send(&receiver, append(1)).expires_in(SOON);
        turn.send(&receiver, append(2)).expires_in(SOON).when_expired(Expiry::DeadLetter);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_finds_the_dead_letters_full_lets_others_pass() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { dead_letters_max: 1, attempts_max: 1, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    for _ in 0..3 {
        drop(actor.send(Script::new([Step::Reject])).submit().await.unwrap());
    }
    let next = actor.send(append(1)).submit().await.unwrap();
    soon("the one behind them is handled", next.processed()).await.unwrap();
    assert_eq!((node.dead_letters().count(), node.statistics().waiting), (1, 2), "nothing is lost");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_dead_letters_are_kept_when_told_so_and_the_others_are_counted() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config =
        NodeConfig { dead_letters_max: 3, dead_letters_when_full: WhenFull::DropOldest, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    for _ in 0..10 {
        drop(node.actor::<Worker>("one").send(Script::new([Step::Reject])).submit().await.unwrap());
    }
    soon("it drains", node.drained()).await.unwrap();
    let kept = async |node: &Node| node.dead_letters().list().await.unwrap().into_iter().map(|letter| letter.sequence);
    let letters: Vec<Sequence> = kept(&node).await.collect();
    assert_eq!((letters.len(), node.dead_letters().count(), node.statistics().dead_letters_dropped), (3, 3, 7));
    node.stop().await.unwrap();
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    assert_eq!(kept(&node).await.collect::<Vec<Sequence>>(), letters, "the newest, also after a restart");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_kept_for_their_retention() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { idle_after: Duration::from_millis(100), ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    for _ in 0..2000 {
        drop(node.actor::<Worker>("one").send(Script::new([Step::Reject])).submit().await.unwrap());
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.dead_letters().count(), 2000);
    node.stop().await.unwrap();
    let short = NodeConfig { dead_letter_retention: Duration::from_millis(1), ..config };
    let node = workers(folder.path(), &probe).config(short).start().await.unwrap();
    eventually("all are too old", || node.dead_letters().count() == 0).await;
    assert_eq!(node.statistics().dead_letters_dropped, 2000);
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_kept_for_their_retention_also_where_nothing_ever_counts_as_idle() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig {
        idle_after: Duration::MAX,
        dead_letter_retention: Duration::from_millis(1),
        ..everpost_tests::config()
    };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    drop(node.actor::<Worker>("one").send(Script::new([Step::Reject])).submit().await.unwrap());
    eventually("it has come and gone", || node.statistics().dead_letters_dropped == 1).await;
    assert_eq!(node.dead_letters().count(), 0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_with_room_for_fewer_dead_letters_the_newest_are_kept_and_the_others_are_counted() {
    const MORE_THAN_ONE_STEP: usize = 1500;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig {
        dead_letters_when_full: WhenFull::DropOldest,
        idle_after: Duration::MAX,
        ..everpost_tests::config()
    };
    let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    for _ in 0..MORE_THAN_ONE_STEP {
        drop(node.actor::<Worker>("one").send(Script::new([Step::Reject])).submit().await.unwrap());
    }
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    node.stop().await.unwrap();
    let held_back = NodeConfig {
        dead_letters_max: 3,
        dead_letters_when_full: WhenFull::HoldBack,
        dead_letter_retention: Duration::MAX,
        ..config.clone()
    };
    let node = workers(folder.path(), &probe).config(held_back).start().await.unwrap();
    assert_eq!(node.dead_letters().count(), MORE_THAN_ONE_STEP, "nobody said that any may go");
    node.stop().await.unwrap();
    let fewer = NodeConfig { dead_letters_max: 3, ..config };
    let node = workers(folder.path(), &probe).config(fewer).start().await.unwrap();
    eventually("as many are left as may be", || node.dead_letters().count() == 3).await;
    assert_eq!(node.statistics().dead_letters_dropped, MORE_THAN_ONE_STEP as u64 - 3);
    let kept: Vec<_> = node.dead_letters().list().await.unwrap().iter().map(|letter| letter.sequence).collect();
    let newest: Vec<_> = letters[MORE_THAN_ONE_STEP - 3..].iter().map(|letter| letter.sequence).collect();
    assert_eq!(kept, newest);
    node.stop().await.unwrap();
}

/// It was looked at each second, and nobody said why it stood.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_message_whose_dead_letter_is_too_large_for_the_store_stays_and_is_told_of_once() {
    const BYTES: usize = 256 << 10;
    logs::keep();
    let (name, folder, probe) = ("too-large-a-letter", everpost_tests::folder(), Probe::new());
    let start = async |queue_bytes_max: usize| {
        let store = StoreConfig { queue_bytes_max, ..StoreConfig::default() };
        let config = NodeConfig { store, ..everpost_tests::config() };
        Node::builder(name, folder.path()).actor(Worker::new(&probe)).config(config).start().await.unwrap()
    };
    let node = start(64 << 20).await;
    let actor = node.actor::<Worker>("one");
    actor.pause("so that it waits").await.unwrap();
    let script = Script::padded([Step::Append(1)], BYTES);
    // Not before the other settings are in force.
    actor.send(script).expires_in(SOON * 100).when_expired(Expiry::DeadLetter).await.unwrap();
    node.stop().await.unwrap();
    drop((actor, node));

    let node = start(BYTES / 2).await;
    let line = logs::line(name, "message cannot be given up on", "queue_bytes_max").await;
    assert_eq!((line.field("actor"), line.field("times")), ("worker/one", "1"));
    assert_eq!((node.statistics().waiting, node.dead_letters().count()), (1, 0));
    soon("it stops", node.stop()).await.unwrap();
    drop(node);
    assert_eq!(logs::lines(name, "message cannot be given up on").len(), 1);

    let node = start(64 << 20).await;
    eventually("it is a dead letter", || node.dead_letters().count() == 1).await;
    node.stop().await.unwrap();
}
