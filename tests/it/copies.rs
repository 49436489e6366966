//! A store that comes back as an old copy of itself, or twice: refused, with an alarm, and nothing is damaged.

use std::sync::Arc;

use everpost::Node;
use everpost_tests::logs;
use everpost_tests::net::{Net, Seat, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Script, Step, Worker, read, workers};

/// What the true store has done since it was copied.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Since {
    /// It has sent to the other node.
    Sent,
    /// It has received from the other node.
    Received,
}

/// How often the copy was opened, against the true store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Openings {
    Fewer,
    AsMany,
    More,
}

/// The scene: workers live in the west, quick ones in the east; the east is copied, and the north looks on.
struct Scene {
    net: Net,
    names: [String; 3],
    probe: Arc<Probe>,
    west: Node,
    north: Node,
    /// How many messages each side has sent.
    sent: [u32; 3],
}

impl Scene {
    async fn new(name: &str) -> Self {
        logs::keep();
        let names = ["east", "north", "west"].map(|place| format!("{name}-{place}"));
        let [east, north, west] = names.each_ref().map(String::as_str);
        let net = Net::new(&[east, north, west]).with("worker", &[west]).with("quick", &[east]);
        let probe = Probe::new();
        let (north, west) = (net.start(north, &probe).await, net.start(west, &probe).await);
        Self { net, names, probe, west, north, sent: [0; 3] }
    }

    fn east(&self) -> &Seat {
        self.net.seat(&self.names[0])
    }

    async fn start(&self, seat: &Seat) -> Node {
        seat.builder(&self.probe).start().await.unwrap()
    }

    /// Ten messages from the east to the west, and all that is owed arrives.
    async fn east_sends(&mut self, east: &Node) {
        for _ in 0..10 {
            self.sent[0] += 1;
            east.actor::<Worker>("east").send(Script::new([Step::Count(self.sent[0])])).await.unwrap();
        }
        settled(&[east, &self.west]).await;
        self.nothing_is_damaged().await;
    }

    async fn west_sends(&mut self, east: &Node) {
        for _ in 0..10 {
            self.sent[2] += 1;
            self.west.actor::<Quick>("west").send(Script::new([Step::Count(self.sent[2])])).await.unwrap();
        }
        settled(&[east, &self.west]).await;
        let log = read(&east.actor::<Quick>("west")).await;
        assert_eq!((log.count, log.last, log.jumps), (u64::from(self.sent[2]), self.sent[2], 0));
    }

    /// The west has what the east and the north have sent, once and in order; and goes on with the north.
    async fn nothing_is_damaged(&mut self) {
        self.sent[1] += 1;
        let asked = async { self.north.actor::<Worker>("north").ask(Script::new([Step::Append(self.sent[1])])).await };
        assert_eq!(soon("the north goes on", asked).await.unwrap(), (1..=self.sent[1]).collect::<Vec<_>>());
        let log = read(&self.west.actor::<Worker>("east")).await;
        assert_eq!((log.count, log.last, log.jumps), (u64::from(self.sent[0]), self.sent[0], 0));
    }

    /// Opens and closes a store without a cluster, so that its count of openings grows.
    async fn open(&self, seat: &Seat, times: u32) {
        for _ in 0..times {
            stop([workers(&seat.folder, &self.probe).start().await.unwrap()]).await;
        }
    }

    /// Both sides say that they do not speak with each other, and why.
    async fn refused(&self, words: &str) {
        let [east, _, west] = &self.names;
        for (node, peer) in [(west, east), (east, west)] {
            let line = logs::line_on(node, "peer refused", peer, words).await;
            assert_eq!(line.level, tracing::Level::ERROR, "{}", line.text());
        }
    }
}

/// A copy of the east's store is started in its place; it is refused with these words. The true one then goes on.
async fn check(name: &str, since: Since, openings: Openings, words: &str) {
    let mut scene = Scene::new(name).await;
    let east = scene.start(scene.east()).await;
    scene.east_sends(&east).await;
    scene.west_sends(&east).await;
    stop([east]).await;
    let copy = scene.east().copy_of_store();
    let copied = scene.east().elsewhere(copy.path());
    if openings == Openings::Fewer {
        scene.open(scene.east(), 2).await;
    }

    let east = scene.start(scene.east()).await;
    match since {
        Since::Sent => scene.east_sends(&east).await,
        Since::Received => scene.west_sends(&east).await,
    }
    stop([east]).await;
    if openings == Openings::More {
        scene.open(&copied, 3).await;
    }
    if since == Since::Received {
        // What the west knows of the east survives its restart.
        stop([scene.west.clone()]).await;
        scene.west = scene.start(scene.net.seat(&scene.names[2])).await;
    }
    let east = scene.start(&copied).await;
    east.actor::<Worker>("east").send(Script::new([Step::Count(1000)])).await.unwrap();
    scene.west.actor::<Quick>("west").send(Script::new([Step::Count(scene.sent[2] + 1)])).await.unwrap();
    scene.sent[2] += 1;
    scene.refused(words).await;
    scene.nothing_is_damaged().await;
    assert!(read(&east.actor::<Quick>("west")).await.count < u64::from(scene.sent[2]), "it gets nothing");
    assert_eq!(east.statistics().outbox, 1, "and keeps what it owes");
    stop([east]).await;

    // What the west has sent meanwhile has waited for the true one.
    let east = scene.start(scene.east()).await;
    linked(&[&east, &scene.west]).await;
    scene.west_sends(&east).await;
    scene.east_sends(&east).await;
    stop([east, scene.west, scene.north]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_store_that_has_sent_since_is_refused() {
    check("sent-fewer", Since::Sent, Openings::Fewer, "it is an old copy of the store").await;
    check("sent-as-many", Since::Sent, Openings::AsMany, "there are two copies of the store").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_store_that_has_received_since_is_refused() {
    check("received-fewer", Since::Received, Openings::Fewer, "it is an old copy of the store").await;
    check("received-as-many", Since::Received, Openings::AsMany, "there are two copies of the store").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_that_boots_with_a_higher_counter_is_refused() {
    check("sent-more", Since::Sent, Openings::More, "there are two copies of the store").await;
    check("received-more", Since::Received, Openings::More, "there are two copies of the store").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_beside_its_original_is_refused_while_the_original_goes_on() {
    for (name, more) in [("clone", 0), ("opened-clone", 3)] {
        let mut scene = Scene::new(name).await;
        let east = scene.start(scene.east()).await;
        scene.east_sends(&east).await;
        stop([east]).await;
        let copy = scene.east().copy_of_store();
        let cloned = scene.east().elsewhere(copy.path());
        let east = scene.start(scene.east()).await;
        scene.east_sends(&east).await;
        scene.open(&cloned, more).await;

        let clone = scene.start(&cloned).await;
        clone.actor::<Worker>("east").send(Script::new([Step::Count(1000)])).await.unwrap();
        scene.refused("there are two copies of the store").await;
        scene.east_sends(&east).await;
        scene.west_sends(&east).await;
        stop([clone]).await;
        scene.east_sends(&east).await;
        stop([east, scene.west, scene.north]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_clones_that_differ_in_nothing_the_one_that_was_heard_last_goes_on() {
    let mut scene = Scene::new("twins").await;
    let east = scene.start(scene.east()).await;
    scene.east_sends(&east).await;
    stop([east]).await;
    let copy = scene.east().copy_of_store();
    let twin = scene.east().elsewhere(copy.path());
    // Nobody can tell which of the two is the true one before one of them has spoken.
    scene.open(&twin, 1).await;
    let east = scene.start(&twin).await;
    scene.east_sends(&east).await;
    let original = scene.start(scene.east()).await;
    scene.refused("it is an old copy of the store").await;
    scene.east_sends(&east).await;
    stop([original]).await;
    scene.west_sends(&east).await;
    stop([east, scene.west, scene.north]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_copied_to_another_node_is_refused_by_all_who_know_it() {
    let mut scene = Scene::new("moved").await;
    let east = scene.start(scene.east()).await;
    scene.east_sends(&east).await;
    stop([east]).await;
    let copy = scene.east().copy_of_store();
    let [east_name, north_name, west_name] = scene.names.clone();
    stop([scene.north.clone()]).await;
    let moved = scene.net.seat(&north_name).elsewhere(copy.path());
    scene.net.route(&east_name, &north_name, moved.listen);
    let east = scene.start(scene.east()).await;
    let moved = scene.start(&moved).await;
    let known = format!("known as that of node `{east_name}`");
    logs::line_on(&west_name, "peer refused", &north_name, &known).await;
    let same = "its store has the same id as the store of this node";
    logs::line_on(&east_name, "peer refused", &north_name, same).await;
    logs::line_on(&north_name, "peer refused", &east_name, same).await;
    stop([moved]).await;
    let north = scene.net.seat(&north_name);
    scene.north = scene.start(&north.elsewhere(&north.folder)).await;
    scene.east_sends(&east).await;
    stop([east, scene.west, scene.north]).await;
}
