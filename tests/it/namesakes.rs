//! Two processes under one name, each with a store of its own: one goes on, the other is refused, and all who are there
//! say so.

use std::sync::Arc;

use everpost::Node;
use everpost_tests::logs;
use everpost_tests::net::{Net, Seat, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::relay::{Faults, Relay};
use everpost_tests::wait::eventually;
use everpost_tests::worker::{Quick, Script, Step, Worker, read};
use tempfile::TempDir;

const REFUSED: &str = "another process of this name is connected";

/// Workers live in the west, quick ones in the east, of which there are two.
struct Scene {
    net: Net,
    east_name: String,
    west_name: String,
    /// The second east; its folder goes with it.
    second: (Seat, TempDir),
    probe: Arc<Probe>,
    /// How many messages each side has sent.
    sent: [u32; 2],
}

impl Scene {
    fn new(name: &str) -> Self {
        logs::keep();
        let (east, west) = (format!("{name}-east"), format!("{name}-west"));
        let net = Net::new(&[&east, &west]).with("worker", &[&west]).with("quick", &[&east]);
        let folder = everpost_tests::folder();
        let second = (net.seat(&east).elsewhere(folder.path()), folder);
        Self { net, east_name: east, west_name: west, second, probe: Probe::new(), sent: [0; 2] }
    }

    async fn start(&self, seat: &Seat) -> Node {
        seat.builder(&self.probe).start().await.unwrap()
    }

    async fn west(&self) -> Node {
        self.start(self.net.seat(&self.west_name)).await
    }

    async fn east(&self) -> Node {
        self.start(self.net.seat(&self.east_name)).await
    }

    /// A hundred messages go each way between the west and the east that is linked with it, and are handled.
    async fn exchange(&mut self, west: &Node, linked: &Node) {
        for _ in 0..100 {
            self.sent[0] += 1;
            west.actor::<Quick>("one").send(Script::new([Step::Count(self.sent[0])])).await.unwrap();
            self.sent[1] += 1;
            linked.actor::<Worker>("one").send(Script::new([Step::Count(self.sent[1])])).await.unwrap();
        }
        settled(&[west, linked]).await;
    }

    /// Of all that both sides have sent, how much each east has handled, and the west.
    async fn handled(&self, easts: [&Node; 2], west: &Node) -> [u64; 3] {
        let [first, second] = easts.map(|east| east.actor::<Quick>("one"));
        [read(&first).await.count, read(&second).await.count, read(&west.actor::<Worker>("one")).await.count]
    }

    /// The west, the one that goes on and the one that does not say what is wrong.
    async fn is_named(&self) {
        let Self { east_name: east, west_name: west, .. } = self;
        logs::line_on(west, "peer refused", east, REFUSED).await;
        logs::line_on(east, "peer refused", west, REFUSED).await;
        logs::line_on(east, "name used twice", west, "another process").await;
    }

    fn links_lost(&self) -> usize {
        logs::lines(&self.west_name, "link down").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_a_name_is_refused_while_the_first_is_there_and_takes_its_place_when_that_has_gone() {
    let mut scene = Scene::new("surge");
    let (west, first) = (scene.west().await, scene.east().await);
    linked(&[&west, &first]).await;
    let second = scene.start(&scene.second.0).await;
    scene.exchange(&west, &first).await;
    scene.is_named().await;
    scene.exchange(&west, &first).await;
    assert_eq!(scene.handled([&first, &second], &west).await, [200, 0, 200]);
    assert_eq!(scene.links_lost(), 0, "the first went on all the time");
    assert!(logs::lines(&scene.west_name, "peer has a new store").is_empty());

    stop([first]).await;
    linked(&[&west, &second]).await;
    logs::line_on(&scene.west_name, "peer has a new store", &scene.east_name, "").await;
    scene.sent[1] = 0;
    scene.exchange(&west, &second).await;
    assert_eq!(read(&second.actor::<Quick>("one")).await.count, 100);
    assert_eq!(logs::lines(&scene.west_name, "peer has a new store").len(), 1);
    stop([second, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_of_a_name_that_come_at_once_one_goes_on_and_every_message_is_handled_once() {
    let scene = Scene::new("twin");
    let (first, second) = (scene.east().await, scene.start(&scene.second.0).await);
    let west = scene.west().await;
    scene.is_named().await;
    let easts = [&first, &second];
    eventually("one is linked", || easts.iter().any(|east| east.is_linked_to(west.name()))).await;
    for number in 1..=200 {
        west.actor::<Quick>("one").ask(Script::new([Step::Count(number)])).await.unwrap();
    }
    let [one, other, _] = scene.handled(easts, &west).await;
    assert!([one, other] == [200, 0] || [one, other] == [0, 200], "{one} and {other}");
    assert_eq!(scene.links_lost(), 0, "whoever came first went on");
    let jumps = [read(&first.actor::<Quick>("one")).await.jumps, read(&second.actor::<Quick>("one")).await.jumps];
    assert_eq!(jumps, [0, 0]);
    stop([first, second, west]).await;
}

/// The network of the first falls apart, so that nothing tells the west that it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_answer_any_more_keeps_out_nobody() {
    let mut scene = Scene::new("mute");
    let relay = Relay::start(scene.net.seat(&scene.west_name).listen, 1, Faults::default()).await;
    let (east, west) = (scene.east_name.clone(), scene.west_name.clone());
    scene.net.route(&east, &west, relay.address());
    let (west, first) = (scene.west().await, scene.east().await);
    linked(&[&west, &first]).await;
    scene.exchange(&west, &first).await;
    relay.cut();
    let second = scene.start(&scene.second.0).await;
    eventually("the second is linked", || second.is_linked_to(west.name())).await;
    scene.sent[1] = 0;
    scene.exchange(&west, &second).await;
    assert_eq!(scene.handled([&first, &second], &west).await[..2], [100, 100]);
    // Back again, it is the one that comes second.
    relay.heal();
    scene.is_named().await;
    scene.exchange(&west, &second).await;
    assert_eq!(scene.handled([&first, &second], &west).await[..2], [100, 200]);
    stop([first, second, west]).await;
}
