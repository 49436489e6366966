//! A node under siege: by a peer that is hostile, by one that is merely large, and by strangers, each for a while (a
//! minute where random tests run more seeds than usual). What they cost it is bounded, and an honest peer is answered
//! all the while.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use everpost_tests::bulk::{Blob, Bulk, Fetch};
use everpost_tests::protocol::{Command, Event};
use everpost_tests::seeds::{Random, are_many};
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Worker};
use everpost_transport::frame::Frame;
use everpost_transport::link::{Ack, Data, Lane, Sequence};

use crate::backlogs::{MIB, Scene};
use crate::strangers::stranger;

/// What the besieged process may take in all.
const MEMORY_BYTES_MAX: usize = 256 * MIB;

/// Lines of one cause that may come at once, before it is limited to one a second.
const LINES_AT_ONCE: usize = 40;

fn lasts() -> Duration {
    if are_many() { Duration::from_secs(60) } else { Duration::from_secs(2) }
}

/// How long the honest peer waited at most, and how often it was answered.
#[derive(Debug, Default)]
struct Honest {
    slowest: Cell<Duration>,
    answers: Cell<u32>,
}

impl Honest {
    /// Asks a turn and a state, again and again.
    #[expect(clippy::disallowed_methods, reason = "it is measured how long an answer takes")]
    async fn ask(&self, scene: &Scene) {
        let (worker, bulk) = (scene.east.actor::<Worker>("honest"), scene.east.actor::<Bulk>("honest"));
        loop {
            let begun = Instant::now();
            soon("a turn replies", async { worker.ask(Script::new([])).await }).await.unwrap();
            assert_eq!(soon("a state answers", async { bulk.query(Fetch::of(10)).await }).await.unwrap(), Blob::of(10));
            self.slowest.set(self.slowest.get().max(begun.elapsed()));
            self.answers.set(self.answers.get() + 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Lets `attack` go on for a while beside the honest peer, and judges what it did to the west.
async fn besieged(name: &str, attack: impl AsyncFn(&Scene)) {
    let scene = Scene::new(name).await;
    let honest = Honest::default();
    tokio::select! {
        () = honest.ask(&scene) => unreachable!("it has no end"),
        () = async { loop { attack(&scene).await; } } => unreachable!("it has no end"),
        () = tokio::time::sleep(lasts()) => {}
    }
    let (answers, slowest) = (honest.answers.get(), honest.slowest.get());
    scene.goes_on().await;
    let Scene { mut west, east, .. } = scene;
    let memory = west.memory_peak();
    west.tell(&Command::Stop);
    west.wait_for("it stops", |event| *event == Event::Stopped);
    west.end();
    let mut causes = BTreeMap::<String, usize>::new();
    for line in west.stderr() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        *causes.entry(line["event"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
    }
    soon("it stops", east.stop()).await.unwrap();
    let most = causes.iter().max_by_key(|(_, lines)| **lines);
    eprintln!(
        "{name}: {} MiB, {answers} honest answers, the slowest after {slowest:?}, most lines {most:?}",
        memory / MIB
    );
    assert!(answers > 0, "{name}: the honest peer was not answered once");
    assert!(memory < MEMORY_BYTES_MAX, "{name}: {} MiB", memory / MIB);
    let lines_max = LINES_AT_ONCE + usize::try_from(lasts().as_secs()).unwrap();
    assert!(most.is_none_or(|(_, lines)| *lines <= lines_max), "{name}: {causes:?}");
    // On a machine that does nothing else.
    assert!(!are_many() || slowest < Duration::from_secs(1), "{name}: an honest answer took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_peer_that_are_damaged_at_random() {
    let random = std::cell::RefCell::new(Random::new(1));
    besieged("fuzzing", async |scene| {
        let mut puppet = scene.puppet(4);
        for _ in 0..20 {
            let mut conversation = scene.converse(&puppet).await;
            for _ in 0..50 {
                let (bytes, is_control) = damaged(&mut random.borrow_mut());
                if is_control {
                    conversation.say_bytes(&bytes).await;
                } else {
                    conversation.send_bytes(&bytes).await;
                }
            }
            drop(conversation);
            puppet.run_again();
        }
        puppet.endpoint.close().await;
    })
    .await;
}

/// A frame of any kind, with some of its bytes changed, or bytes that are none.
fn damaged(random: &mut Random) -> (Vec<u8>, bool) {
    let lane = Lane { receiver_type: random.below(3), partition: u16::try_from(random.below(70)).unwrap() };
    let (previous, sequence) = (Sequence(random.below(3)), Sequence(random.below(5)));
    let frame = match random.below(4) {
        0 => Frame::Acks(vec![Ack { lane, through: sequence, credit: random.below(u64::MAX) }]),
        1 => Frame::Note(vec![7; usize::try_from(random.below(200)).unwrap()].into()),
        2 => {
            Frame::Note(postcard::to_allocvec(&(5_u8, 1_u64, "bulk/x", "fetch", 1_u16, vec![1_u8; 9])).unwrap().into())
        }
        _ => Frame::Data(Data { lane, previous, sequence, flags: 0, body: vec![3; 60].into() }),
    };
    let is_control = !matches!(frame, Frame::Data(_));
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes).unwrap();
    let mut bytes = bytes.to_vec();
    for _ in 0..random.below(3) {
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] = u8::try_from(random.below(256)).unwrap();
    }
    (bytes, is_control)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_asks_for_much_and_reads_it() {
    besieged("asks-much", async |scene| {
        let puppet = scene.puppet(2);
        let mut conversation = scene.converse(&puppet).await;
        for round in 0..200 {
            for number in 0..16 {
                conversation.ask(round * 16 + number, "bulk/large", &Fetch::of(MIB as u32)).await;
            }
            assert_eq!(conversation.answers(16).await, 16);
        }
        puppet.endpoint.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads() {
    besieged("deaf-siege", async |scene| {
        let puppet = scene.puppet(2);
        let mut conversation = scene.converse(&puppet).await;
        for number in 0..1_000 {
            conversation.ask(number, "bulk/deaf", &Fetch::of(MIB as u32)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        puppet.endpoint.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_introduces_itself_with_new_stores_again_and_again() {
    besieged("inventing", async |scene| {
        let mut puppet = scene.puppet(2);
        for _ in 0..1_000 {
            puppet.hello.run.shard = rand::random();
            drop(scene.converse(&puppet).await);
        }
        puppet.endpoint.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_begin_handshakes_and_end_none_or_have_no_certificate() {
    besieged("strangers", async |scene| {
        let (name, listen, authority) = scene.west_for_strangers();
        let mut dialing = tokio::task::JoinSet::new();
        for number in 0..60 {
            let endpoint = stranger(Ipv4Addr::new(127, 9, number, 1), &authority);
            let connecting = endpoint.connect(listen, &name).unwrap();
            dialing.spawn(async move {
                if number % 2 == 0 {
                    // The first packet is on its way: nothing follows it.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                } else if let Ok(connection) = connecting.await {
                    let _ = connection.accept_bi().await;
                }
                drop(endpoint);
            });
        }
        dialing.join_all().await;
    })
    .await;
}
