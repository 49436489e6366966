//! SIGKILL of nodes under load, of one and of several at once, at random moments, over a good network and a bad one: an
//! oracle outside of them judges from what clients saw.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use everpost::Node;
use everpost_tests::child::Child;
use everpost_tests::load::STREAMS;
use everpost_tests::net::{Net, Seat, linked, settled, stop};
use everpost_tests::oracle::Oracle;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::relay::Relay;
use everpost_tests::seeds::{Random, seeds};

use crate::network::{look, relayed};

/// How often each node is killed, at least.
const KILLS: u32 = 5;
/// A child is killed after it has said this much, at most.
const EVENTS_MAX: u64 = 800;

#[tokio::test(flavor = "multi_thread")]
async fn either_node_killed_at_random_moments_nothing_acknowledged_is_lost_or_doubled() {
    let mut known_of_all = 0;
    for seed in seeds("kills::either_node_killed_at_random_moments_nothing_acknowledged_is_lost_or_doubled", 4) {
        let names: &[&str] = if seed.value() % 4 == 3 { &["east", "north", "west"] } else { &["east", "west"] };
        let mut random = seed.random();
        let (net, relays) = if seed.value().is_multiple_of(2) {
            (Net::new(names), Vec::new())
        } else {
            relayed(names, &mut random).await
        };
        let scene = Arc::new(Scene::new(names.len()));
        let drivers: Vec<_> = (0..)
            .zip(names)
            .map(|(index, name)| {
                let (scene, seat, random) =
                    (scene.clone(), net.seat(name).clone(), Random::new(random.below(u64::MAX)));
                std::thread::spawn(move || drive(&scene, &seat, index, random))
            })
            .collect();
        let ended = tokio::task::spawn_blocking(move || drivers.into_iter().try_for_each(|driver| driver.join()));
        ended.await.unwrap().expect("the children do as they should");
        let nodes = net.start_all(&Probe::new()).await;
        let all: Vec<&Node> = nodes.iter().collect();
        linked(&all).await;
        settled(&all).await;
        let found = look(&all).await;
        stop(nodes).await;
        let oracle = scene.oracle.lock().unwrap();
        oracle.judge(&found).unwrap_or_else(|violation| panic!("seed {}: {violation}", seed.value()));
        let ((sent, known), together) = (oracle.counts(), scene.together.load(Ordering::Relaxed));
        let fired: Vec<_> = relays.iter().map(Relay::fired).collect();
        eprintln!(
            "seed {}: {} kills, {together} together, {sent} sent, {known} known, {fired:?}",
            seed.value(),
            scene.kills()
        );
        assert!(sent > known, "nothing was under way: {sent} sent, {known} known to be durable");
        known_of_all += known;
    }
    assert!(known_of_all > 100, "too little happened: {known_of_all} known to be durable");
}

/// What all drivers share.
struct Scene {
    oracle: Mutex<Oracle>,
    /// For each node, whether it is to be killed together with another.
    with_another: Vec<AtomicBool>,
    kills: Vec<AtomicU32>,
    together: AtomicU32,
}

impl Scene {
    fn new(nodes: usize) -> Self {
        Self {
            oracle: Mutex::default(),
            with_another: (0..nodes).map(|_| AtomicBool::new(false)).collect(),
            kills: (0..nodes).map(|_| AtomicU32::new(0)).collect(),
            together: AtomicU32::new(0),
        }
    }

    fn kills(&self) -> u32 {
        self.kills.iter().map(|kills| kills.load(Ordering::Relaxed)).sum()
    }

    /// No node ends for good before all were killed often enough: each needs the others to go on.
    fn is_over(&self) -> bool {
        self.kills.iter().all(|kills| kills.load(Ordering::Relaxed) >= KILLS)
    }
}

/// Lets a node live and die until all have died often enough.
fn drive(scene: &Scene, seat: &Seat, index: usize, mut random: Random) {
    let nodes = scene.kills.len();
    let mine = || (0..STREAMS).filter(move |stream| *stream as usize % nodes == index);
    let mut streams = scene.oracle.lock().unwrap().killed_with(mine());
    while !scene.is_over() {
        let mut child = Child::start(&Setup::seated(seat));
        child.tell(&Command::Load(streams));
        // Some die while they open the store, or replay.
        let events = if random.once_in(4) { random.below(4) } else { random.below(EVENTS_MAX) };
        for _ in 0..events {
            saw(scene, child.hear().expect("nobody has killed it yet"));
            if scene.with_another[index].swap(false, Ordering::Relaxed) {
                scene.together.fetch_add(1, Ordering::Relaxed);
                break;
            }
            if scene.is_over() {
                break;
            }
        }
        if random.once_in(3) {
            scene.with_another[(index + 1) % nodes].store(true, Ordering::Relaxed);
        }
        child.kill();
        let (_, events) = child.end();
        events.into_iter().for_each(|event| saw(scene, event));
        streams = scene.oracle.lock().unwrap().killed_with(mine());
        scene.kills[index].fetch_add(1, Ordering::Relaxed);
    }
}

fn saw(scene: &Scene, event: Event) {
    match event {
        Event::Client(client) => scene.oracle.lock().unwrap().saw(&client),
        Event::Refused(reason) => panic!("I7 is broken: the node does not start: {reason}"),
        Event::Broken(what) => panic!("a client saw what must not be: {what}"),
        _ => {}
    }
}
