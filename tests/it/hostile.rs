//! Planted bugs of a sender, spoken by hand: each is refused by name, nothing wrong is taken, and the honest sender
//! that comes after goes on where the store says.

use everpost::{AskError, Node};
use everpost_tests::logs;
use everpost_tests::net::{Net, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::{Conversation, Puppet};
use everpost_tests::wait::soon;
use everpost_tests::worker::{Log, Script, Step, Worker, read};
use everpost_transport::frame::Frame;
use everpost_transport::link::{Data, Lane, Sequence};

/// Messages that a true node has sent, in the hands of the puppet in the north, and the west, which takes them.
struct Scene {
    net: Net,
    west_name: String,
    west: Node,
    puppet: Puppet,
    messages: Vec<Data>,
}

const MESSAGES: u32 = 10;

impl Scene {
    async fn new(name: &str) -> Self {
        logs::keep();
        let names = ["east", "north", "west"].map(|place| format!("{name}-{place}"));
        let [east, north, west] = names.each_ref().map(String::as_str);
        let mut net = Net::new(&[east, north, west]).with("worker", &[west]);
        // The east believes that workers live in the north, so that the puppet gets what the west would get.
        net.seat_mut(east).place("worker", &[north]);
        let probe = Probe::new();
        let seat = net.seat(north);
        let puppet = Puppet::new(seat, &seat.identity);
        let sender = net.start(east, &probe).await;
        for number in 1..=MESSAGES {
            sender.actor::<Worker>("one").send(Script::new([Step::Count(number)])).await.unwrap();
        }
        let mut conversation = puppet.accept().await;
        conversation.go_on(Vec::new()).await;
        let messages = conversation.messages(MESSAGES as usize).await;
        drop(conversation);
        stop([sender]).await;
        let started = net.start(west, &probe).await;
        Self { west_name: west.to_owned(), west: started, net, puppet, messages }
    }

    async fn converse(&self) -> Conversation {
        self.puppet.converse(&self.west_name, self.net.seat(&self.west_name).listen).await
    }

    fn lane(&self) -> Lane {
        self.messages[0].lane
    }

    async fn log(&self) -> Log {
        read(&self.west.actor::<Worker>("one")).await
    }

    /// The west has thrown the puppet out with these words, and has taken the first messages only.
    async fn thrown_out(&self, mut conversation: Conversation, words: &str, taken: u32) {
        let why = conversation.refused().await;
        assert!(why.contains(words), "{why}");
        logs::line(&self.west_name, "peer refused", words).await;
        soon("it drains", self.west.drained()).await.unwrap();
        let log = self.log().await;
        assert_eq!((log.count, log.last, log.jumps), (u64::from(taken), taken, 0));
    }

    /// The puppet behaves: the west says how far it has come, takes the rest, and acknowledges it.
    async fn behaves(self, taken: usize) {
        let mut conversation = self.converse().await;
        let resume = conversation.resume.clone().unwrap();
        let through = taken.checked_sub(1).map(|last| (self.lane(), self.messages[last].sequence));
        assert_eq!(resume.lanes.into_iter().find(|(_, cursor)| cursor.0 > 0), through);
        for message in &self.messages[taken..] {
            conversation.send(message.clone()).await;
        }
        let last = self.messages.last().unwrap().sequence;
        if taken < self.messages.len() {
            conversation.acknowledged(self.lane(), last).await;
        }
        soon("it drains", self.west.drained()).await.unwrap();
        let log = self.log().await;
        assert_eq!((log.count, log.last, log.jumps), (u64::from(MESSAGES), MESSAGES, 0));
        stop([self.west]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_skips_a_message_is_stopped_before_the_gap() {
    let scene = Scene::new("skips").await;
    let mut conversation = scene.converse().await;
    for message in scene.messages.iter().take(3).chain(&scene.messages[4..]) {
        conversation.send(message.clone()).await;
    }
    scene.thrown_out(conversation, "messages are missing; nothing was taken", 3).await;
    scene.behaves(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hides_a_gap_behind_its_own_count_is_stopped() {
    let scene = Scene::new("hides").await;
    let mut conversation = scene.converse().await;
    conversation.send(scene.messages[0].clone()).await;
    // It says that the message follows one that it never sent.
    conversation.send(Data { previous: Sequence(scene.messages[1].sequence.0 + 1), ..scene.messages[2].clone() }).await;
    scene.thrown_out(conversation, "messages are missing; nothing was taken", 1).await;
    scene.behaves(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_repeats_messages_is_heard_once() {
    let scene = Scene::new("repeats").await;
    let mut conversation = scene.converse().await;
    for message in &scene.messages {
        conversation.send(message.clone()).await;
        conversation.send(message.clone()).await;
        conversation.send(scene.messages[0].clone()).await;
    }
    conversation.acknowledged(scene.lane(), scene.messages[9].sequence).await;
    drop(conversation);
    // A sender that lost all acknowledgements sends everything again.
    let mut conversation = scene.converse().await;
    for message in &scene.messages {
        conversation.send(message.clone()).await;
    }
    drop(conversation);
    scene.behaves(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_the_lane_of_another_is_refused() {
    let scene = Scene::new("strays").await;
    let lane = Lane { partition: scene.lane().partition ^ 1, ..scene.lane() };
    let mut conversation = scene.converse().await;
    conversation.send(Data { lane, ..scene.messages[0].clone() }).await;
    scene.thrown_out(conversation, "which is not its own", 0).await;
    let lane = Lane { receiver_type: scene.lane().receiver_type ^ 1, ..scene.lane() };
    let mut conversation = scene.converse().await;
    conversation.send(Data { lane, ..scene.messages[0].clone() }).await;
    scene.thrown_out(conversation, "which is not its own", 0).await;
    scene.behaves(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_stops_its_lane_and_what_came_before_is_kept() {
    let scene = Scene::new("garbles").await;
    let mut conversation = scene.converse().await;
    conversation.send(scene.messages[0].clone()).await;
    conversation.send(Data { body: bytes::Bytes::from_static(&[9; 40]), ..scene.messages[1].clone() }).await;
    // A volatile one that cannot be read is dropped.
    conversation.send_bytes(&[0, 0, 0, 4, 17, 9, 9, 9]).await;
    // What follows it in its lane is not taken either: it would be out of order.
    conversation.send(scene.messages[2].clone()).await;
    logs::line(&scene.west_name, "message not taken", "a message cannot be read").await;
    conversation.acknowledged(scene.lane(), scene.messages[0].sequence).await;
    assert_eq!(logs::lines(&scene.west_name, "peer refused").len(), 0, "the link goes on");
    // It is acknowledged when it is durable, which is before its turn.
    soon("it drains", scene.west.drained()).await.unwrap();
    assert_eq!(scene.log().await.count, 1);
    drop(conversation);
    scene.behaves(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_an_actor_that_lives_elsewhere_stops_its_lane() {
    let mut scene = Scene::new("misleads").await;
    let west = scene.west_name.clone();
    stop([scene.west]).await;
    scene.net.seat_mut(&west).place("worker", &["misleads-east"]);
    let seat = scene.net.seat(&west);
    let moved = seat.elsewhere(&seat.folder);
    let listen = moved.listen;
    scene.west = moved.builder(&Probe::new()).start().await.unwrap();
    let mut conversation = scene.puppet.converse(&west, listen).await;
    conversation.send(scene.messages[0].clone()).await;
    logs::line(&west, "message not taken", "that lives on node `misleads-east`").await;
    assert_eq!(logs::lines(&west, "peer refused").len(), 0, "the link goes on");
    assert_eq!(scene.west.statistics().handled, 0);
    stop([scene.west]).await;
}

/// A receiver that did not take a message once ended the link, and got it again on the next one, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_message_is_not_taken_goes_on_with_its_other_lanes_and_tells_the_asker() {
    logs::keep();
    let (east, north) = ("untaken-east", "untaken-north");
    let net = Net::new(&[east, north]).with("worker", &[north]);
    let seat = net.seat(north);
    let puppet = Puppet::new(seat, &seat.identity);
    let sender = net.start(east, &Probe::new()).await;
    let one = sender.actor::<Worker>("one");
    let limit = std::time::Duration::from_secs(100);
    let asking = tokio::spawn(async move { one.ask(Script::new([Step::Count(1)])).timeout(limit).await });
    let mut conversation = puppet.accept().await;
    conversation.go_on(Vec::new()).await;
    let Data { lane, sequence, .. } = conversation.messages(1).await.remove(0);
    let note = (7_u32, lane.receiver_type, lane.partition, sequence.0, "it is of a later build");
    let note = postcard::to_allocvec(&note).unwrap();
    conversation.say(&Frame::Note(note.into())).await;
    let told = soon("the asker is told", asking).await.unwrap();
    assert!(matches!(&told, Err(AskError::Undeliverable(why)) if why.contains("of a later build")), "{told:?}");
    logs::line(east, "message not taken by the peer", "of a later build").await;
    // More to the same address stays, and everything else comes.
    for key in ["one", "a", "b", "c", "d", "e"] {
        sender.actor::<Worker>(key).send(Script::new([Step::Count(1)])).await.unwrap();
    }
    for message in conversation.messages(3).await {
        assert_ne!(message.lane, lane);
    }
    assert_eq!(logs::lines(east, "peer refused").len(), 0);
    stop([sender]).await;
}
