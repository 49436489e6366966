//! Messages that expire in the outbox: they stayed there until the node of their actor was reached, and held back
//! everybody else.

use std::ops::ControlFlow;
use std::time::Duration;

use everpost::tables;
use everpost::{AskError, DeliveredError, Expiry, Node, NodeConfig, ProcessedError, Reason};
use everpost_persistence::{Config, Store};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::{Conversation, Puppet};
use everpost_tests::wait::{DEADLINE, eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read};
use everpost_transport::link::{Lane, Sequence};

const MESSAGES_MAX: usize = 8;
const SOON: Duration = Duration::from_millis(50);
/// Long enough for a message to be sent before, and short enough to wait for.
const AFTER_IT_WAS_SENT: Duration = Duration::from_secs(3);

/// Workers live in the west.
fn net() -> Net {
    let config = NodeConfig {
        outbox_messages_max: MESSAGES_MAX,
        // Most bodies are in the store only.
        window_bytes_max: 200,
        send_timeout: DEADLINE,
        ..everpost_tests::config()
    };
    Net::new(&["east", "west"]).with("worker", &["west"]).config(&config)
}

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

/// How many messages the store of the east holds in its outbox, when that is not running.
fn stored(net: &Net) -> usize {
    let copy = net.seat("east").copy_of_store();
    let (store, _) = Store::open(copy.path(), Config::default(), tables::SCHEMA, || ()).unwrap();
    let mut messages = 0;
    let count = |_: &_, _: &[u8]| {
        messages += 1;
        ControlFlow::Continue(())
    };
    store.scan(&tables::OUTBOX, count).unwrap();
    store.close().unwrap();
    messages
}

/// Sends more messages that expire than the outbox holds, with one that does not among them.
async fn overfill(east: &Node, kept: u32) {
    for number in 0..3 * MESSAGES_MAX {
        let actor = east.actor::<Worker>("one");
        soon("there is room again", actor.send(append(0)).expires_in(SOON)).await.unwrap();
        if number == MESSAGES_MAX {
            soon("there is room again", actor.send(append(kept))).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_before_its_node_is_reached_makes_room_and_whoever_waits_is_told() {
    let (net, probe) = (net(), Probe::new());
    let east = net.start("east", &probe).await;
    let actor = east.actor::<Worker>("one");
    let mut receipts = Vec::new();
    for _ in 0..5 * MESSAGES_MAX {
        let post = actor.send(append(0)).expires_in(SOON).submit();
        receipts.push(soon("there is room again", post).await.unwrap());
    }
    let (early, late) = (receipts.pop().unwrap(), receipts.swap_remove(0));
    let told = soon("it is told", early.delivered()).await;
    assert!(matches!(told, Err(DeliveredError::Expired)), "{told:?}");
    let asked = soon("it is told", actor.ask(append(0)).expires_in(SOON).timeout(DEADLINE)).await;
    assert!(matches!(asked, Err(AskError::Expired)), "{asked:?}");
    let waiting = tokio::spawn(actor.send(append(0)).expires_in(SOON).submit().await.unwrap().processed());
    let told = soon("it is told", waiting).await.unwrap();
    assert!(matches!(told, Err(ProcessedError::Expired)), "{told:?}");
    eventually("all have left", || east.statistics().outbox == 0).await;
    let statistics = east.statistics();
    assert_eq!((statistics.expired, statistics.dead_lettered), (5 * MESSAGES_MAX as u64 + 2, 0));
    let told = soon("it is told after the fact", late.delivered()).await;
    assert!(matches!(told, Err(DeliveredError::Expired)), "{told:?}");
    let told = soon("it is told after the fact", late.processed()).await;
    assert!(matches!(told, Err(ProcessedError::Expired)), "{told:?}");
    overfill(&east, 1).await;
    eventually("all but one have left", || east.statistics().outbox == 1).await;
    let west = net.start("west", &probe).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, [1]);
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_while_its_node_is_away_leaves_the_store_also_over_a_restart() {
    let (net, probe) = (net(), Probe::new());
    let (mut east, mut west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let [first, second, third] = [1, 2, 3].map(|number| 10 * round + number);
        east.actor::<Worker>("one").send(append(first)).await.unwrap();
        settled(&[&east, &west]).await;
        stop([west]).await;
        overfill(&east, second).await;
        stop([east]).await;
        east = net.start("east", &probe).await;
        overfill(&east, third).await;
        eventually("those that do not expire are left", || east.statistics().outbox == 2).await;
        stop([east]).await;
        assert_eq!(stored(&net), 2, "the others are not in the store any more");
        (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
        settled(&[&east, &west]).await;
        expected.extend([first, second, third]);
        assert_eq!(read(&west.actor::<Worker>("one")).await.entries, expected);
    }
    assert_eq!(west.statistics().expired, 0, "none of them came");
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_kept_becomes_a_dead_letter_of_its_sender_and_is_replayed_from_there() {
    let (net, probe) = (net(), Probe::new());
    let mut east = net.start("east", &probe).await;
    let actor = east.actor::<Worker>("one");
    let send = |number| actor.send(append(number)).expires_in(SOON).when_expired(Expiry::DeadLetter).submit();
    let (early, late) = (send(2).await.unwrap(), send(3).await.unwrap());
    actor.send(append(1)).await.unwrap();
    let told = soon("it is told", early.processed()).await;
    assert!(matches!(told, Err(ProcessedError::GivenUp(_))), "{told:?}");
    eventually("both are dead letters", || east.dead_letters().count() == 2).await;
    let told = soon("it is told after the fact", late.delivered()).await;
    assert!(matches!(told, Err(DeliveredError::Expired)), "{told:?}");
    let told = soon("it is told after the fact", late.processed()).await;
    assert!(matches!(told, Err(ProcessedError::GivenUp(_))), "{told:?}");
    assert_eq!((east.statistics().outbox, east.statistics().expired), (1, 0));
    stop([east]).await;
    assert_eq!(stored(&net), 1);
    east = net.start("east", &probe).await;
    let letters = east.dead_letters().list().await.unwrap();
    assert!(letters.iter().all(|letter| letter.reason == Reason::Expired && letter.attempts == 0), "{letters:?}");
    east.dead_letters().replay(letters[0].sequence).await.unwrap();
    east.dead_letters().edit(letters[1].sequence, &append(4)).await.unwrap();
    let west = net.start("west", &probe).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, [1, 2, 4]);
    assert_eq!((east.dead_letters().count(), west.dead_letters().count()), (0, 0));
    stop([east, west]).await;
}

/// The west, spoken by hand, is sent three messages that expire, and goes away without a word on them.
struct Scene {
    net: Net,
    puppet: Puppet,
    /// The next one, in which it has not said yet what it has.
    conversation: Conversation,
    east: Node,
    lane: Lane,
    sent: Vec<Sequence>,
    told: Vec<tokio::task::JoinHandle<Result<(), DeliveredError>>>,
}

impl Scene {
    async fn new() -> Self {
        let net = net();
        let seat = net.seat("west");
        let puppet = Puppet::new(seat, &seat.identity);
        let east = net.start("east", &Probe::new()).await;
        let mut conversation = puppet.accept().await;
        conversation.go_on(Vec::new()).await;
        let mut told = Vec::new();
        for number in 1..=3 {
            let actor = east.actor::<Worker>("one");
            let receipt = actor.send(append(number)).expires_in(AFTER_IT_WAS_SENT).submit().await.unwrap();
            told.push(tokio::spawn(async move { receipt.delivered().await }));
        }
        let messages = conversation.messages(3).await;
        let (lane, sent) = (messages[0].lane, messages.iter().map(|data| data.sequence).collect());
        drop(conversation);
        eventually("the link is gone", || !east.is_linked_to("west")).await;
        eventually("they count against no bound", || east.statistics().outbox == 0).await;
        assert_eq!(east.statistics().expired, 0, "they may have arrived");
        overfill(&east, 4).await;
        eventually("those that were not sent leave", || east.statistics().outbox == 1).await;
        let conversation = puppet.accept().await;
        Self { net, puppet, conversation, east, lane, sent, told }
    }

    async fn restart(self) -> Self {
        stop([self.east]).await;
        assert_eq!(stored(&self.net), 4, "it is not known whether those that were sent have arrived");
        let east = self.net.start("east", &Probe::new()).await;
        eventually("they count against no bound", || east.statistics().outbox == 1).await;
        let conversation = self.puppet.accept().await;
        Self { east, conversation, ..self }
    }

    /// The west is back, and has had so many of them.
    async fn goes_on(&mut self, had: usize) {
        let conversation = &mut self.conversation;
        let before = had.checked_sub(1).map_or(Sequence(0), |last| self.sent[last]);
        conversation.go_on(Vec::from_iter((had > 0).then_some((self.lane, before)))).await;
        let next = conversation.messages(1).await.remove(0);
        assert_eq!((next.lane, next.previous), (self.lane, before), "nothing else is sent, and nothing is missed");
        let entry = postcard_of(&append(4));
        assert!(next.body.ends_with(&entry), "it is the one that has not expired");
        conversation.acknowledge(next.lane, next.sequence).await;
        eventually("nothing is owed", || self.east.statistics().outbox == 0).await;
    }

    async fn end(self) {
        stop([self.east]).await;
        assert_eq!(stored(&self.net), 0);
    }
}

fn postcard_of(script: &Script) -> Vec<u8> {
    postcard::to_allocvec(script).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_acknowledged_expires_when_the_peer_says_that_it_has_not_come() {
    let mut scene = Scene::new().await;
    let before = scene.east.statistics().expired;
    scene.goes_on(2).await;
    assert_eq!(scene.east.statistics().expired, before + 1, "the third had not arrived");
    let mut outcomes = Vec::new();
    for told in scene.told.drain(..) {
        outcomes.push(soon("it is told", told).await.unwrap());
    }
    assert!(matches!(outcomes[..], [Ok(()), Ok(()), Err(DeliveredError::Expired)]), "{outcomes:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_restart_expires_when_the_peer_says_that_it_has_not_come() {
    for had in [0, 2, 3] {
        let mut scene = Scene::new().await.restart().await;
        scene.goes_on(had).await;
        assert_eq!(scene.east.statistics().expired, 3 - had as u64);
        scene.end().await;
    }
}
