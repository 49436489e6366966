//! Planted bugs of a receiver, spoken by hand: each is refused by name, and what is owed stays owed until somebody has
//! it.

use everpost::Node;
use everpost_tests::logs;
use everpost_tests::net::{Net, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::{Conversation, Puppet};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker};
use everpost_transport::link::{Data, Lane, Sequence};

const MESSAGES: u32 = 10;

/// The west owes ten messages to workers that live with the puppet.
struct Owing {
    /// Keeps the folders of the nodes: a store whose folder is gone fails.
    _net: Net,
    west_name: String,
    west: Node,
    puppet: Puppet,
    listen: std::net::SocketAddr,
}

impl Owing {
    async fn new(name: &str) -> Self {
        logs::keep();
        let names = ["north", "west"].map(|place| format!("{name}-{place}"));
        let [north, west] = names.each_ref().map(String::as_str);
        let net = Net::new(&[north, west]).with("worker", &[north]);
        let seat = net.seat(north);
        let puppet = Puppet::new(seat, &seat.identity);
        let started = net.start(west, &Probe::new()).await;
        for number in 1..=MESSAGES {
            started.actor::<Worker>("one").send(Script::new([Step::Count(number)])).await.unwrap();
        }
        let listen = net.seat(west).listen;
        Self { west_name: west.to_owned(), west: started, puppet, listen, _net: net }
    }

    async fn dial(&self) -> Conversation {
        soon("it is let in", self.puppet.dial(&self.west_name, self.listen)).await.unwrap()
    }

    async fn thrown_out(&self, mut conversation: Conversation, words: &str) {
        let why = conversation.refused().await;
        assert!(why.contains(words), "{why}");
        logs::line(&self.west_name, "peer refused", words).await;
    }

    /// All messages, in order, each following the one before; then they are acknowledged.
    async fn takes_all(&self) -> Vec<Data> {
        let mut conversation = self.dial().await;
        conversation.go_on(Vec::new()).await;
        let messages = conversation.messages(MESSAGES as usize).await;
        assert_eq!(messages[0].previous, Sequence(0));
        assert!(messages.windows(2).all(|pair| pair[1].previous == pair[0].sequence), "{messages:?}");
        conversation.acknowledge(messages[9].lane, messages[9].sequence).await;
        eventually("nothing is owed", || self.west.statistics().outbox == 0).await;
        messages
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_sent_again() {
    let owing = Owing::new("forgets").await;
    for _ in 0..3 {
        let mut conversation = owing.dial().await;
        conversation.go_on(Vec::new()).await;
        assert_eq!(conversation.messages(10).await.len(), 10);
        assert_eq!(owing.west.statistics().outbox, 10, "nothing is taken for granted");
    }
    owing.takes_all().await;
    stop([owing.west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_acknowledges_what_was_not_sent_is_refused() {
    let owing = Owing::new("flatters").await;
    let mut conversation = owing.dial().await;
    conversation.go_on(Vec::new()).await;
    let messages = conversation.messages(10).await;
    conversation.acknowledge(messages[9].lane, Sequence(messages[9].sequence.0 + 1)).await;
    owing.thrown_out(conversation, "was acknowledged but not sent").await;
    let mut conversation = owing.dial().await;
    conversation.go_on(Vec::new()).await;
    conversation.acknowledge(Lane { receiver_type: 7, partition: 7 }, Sequence(1)).await;
    owing.thrown_out(conversation, "was acknowledged but not sent").await;
    assert_eq!(owing.west.statistics().outbox, 10);
    owing.takes_all().await;
    stop([owing.west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_acknowledged_what_it_did_not_store_is_refused() {
    let mut owing = Owing::new("loses").await;
    let messages = owing.takes_all().await;
    let (lane, last) = (messages[9].lane, messages[9].sequence);
    owing.west.actor::<Worker>("one").send(Script::new([Step::Count(11)])).await.unwrap();
    for cursors in [vec![], vec![(lane, messages[4].sequence)]] {
        let mut conversation = owing.dial().await;
        owing.puppet.run_again();
        conversation.go_on(cursors).await;
        owing.thrown_out(conversation, "its store is an old copy; nothing is sent to it").await;
    }
    assert_eq!(owing.west.statistics().outbox, 1);
    // With what it acknowledged it goes on.
    let mut conversation = owing.dial().await;
    conversation.go_on(vec![(lane, last)]).await;
    let next = conversation.messages(1).await;
    assert_eq!(next[0].previous, last);
    stop([owing.west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_has_what_was_never_sent_is_refused() {
    let owing = Owing::new("imagines").await;
    let lane = {
        let mut conversation = owing.dial().await;
        conversation.go_on(Vec::new()).await;
        conversation.messages(1).await[0].lane
    };
    for (lane, cursor) in [(lane, Sequence(1_000_000)), (Lane { receiver_type: 7, partition: 7 }, Sequence(3))] {
        let mut conversation = owing.dial().await;
        conversation.go_on(vec![(lane, cursor)]).await;
        owing.thrown_out(conversation, "which this store never sent").await;
    }
    assert_eq!(owing.west.statistics().outbox, 10);
    owing.takes_all().await;
    stop([owing.west]).await;
}
