//! Whatever a peer can make a node keep has a bound in bytes, and nobody honest is worse off for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use everpost::Node;
use everpost::tables;
use everpost_tests::bulk::{Blob, Bulk, Fetch};
use everpost_tests::child::Child;
use everpost_tests::net::{Net, stop};
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::puppet::{Conversation, Puppet};
use everpost_tests::seeds::are_many;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker};
use everpost_tests::{logs, records};
use everpost_transport::link::{Data, Lane, Sequence};
use tokio::task::JoinSet;

pub(crate) const MIB: usize = 1 << 20;

/// How much memory one peer may cost a node, with frames of 16 MiB: what is read and not finished, what waits to be
/// written, what QUIC keeps, and what the allocator has not given back.
const A_PEER_BYTES_MAX: usize = 160 * MIB;

const LONG: Duration = Duration::from_secs(900);

fn queries() -> usize {
    if are_many() { 3_000 } else { 600 }
}

/// The west in a process of its own, with the actors that are asked; the east, which is honest; and an empty seat in
/// the north.
pub(crate) struct Scene {
    net: Net,
    names: [String; 3],
    pub(crate) east: Node,
    pub(crate) west: Child,
    before: usize,
}

impl Scene {
    pub(crate) async fn new(name: &str) -> Self {
        logs::keep();
        let names = ["east", "north", "west"].map(|place| format!("{name}-{place}"));
        let [east, north, west] = names.each_ref().map(String::as_str);
        let net = Net::new(&[east, north, west]).with("worker", &[west]).with("bulk", &[west]);
        let child = Child::up(&Setup::seated(net.seat(west)));
        let east = net.start(east, &Probe::new()).await;
        let scene = Self { before: child.memory_peak(), west: child, east, names, net };
        scene.goes_on().await;
        scene
    }

    pub(crate) fn puppet(&self, streams: u8) -> Puppet {
        let seat = self.net.seat(&self.names[1]);
        Puppet::with_streams(seat, &seat.identity, streams)
    }

    /// What whoever dials the west has to know: its name, its address, and the certificate of its authority.
    pub(crate) fn west_for_strangers(&self) -> (String, SocketAddr, PathBuf) {
        let seat = self.net.seat(&self.names[2]);
        (seat.name.clone(), seat.listen, seat.identity[2].clone())
    }

    pub(crate) async fn converse(&self, puppet: &Puppet) -> Conversation {
        let west = &self.names[2];
        puppet.converse(west, self.net.seat(west).listen).await
    }

    /// The east is answered, by turns and by states.
    pub(crate) async fn goes_on(&self) {
        let (worker, bulk) = (self.east.actor::<Worker>("east"), self.east.actor::<Bulk>("east"));
        soon("a turn replies", async { worker.ask(Script::new([])).await }).await.unwrap();
        // There may be no link yet when this is asked first.
        let fetched = async {
            loop {
                if let Ok(Blob(bytes)) = bulk.query(Fetch::of(10)).await {
                    return bytes.len();
                }
            }
        };
        assert_eq!(soon("a state answers", fetched).await, 10);
    }

    /// What this has cost the west at most is bounded, and the east has noticed nothing.
    async fn end(mut self, what: &str) {
        self.goes_on().await;
        let cost = self.west.memory_peak() - self.before;
        eprintln!("{what}: {} MiB", cost / MIB);
        assert!(cost < A_PEER_BYTES_MAX, "{what} cost {} MiB", cost / MIB);
        let down =
            logs::lines(&self.names[0], "link down").into_iter().find(|line| line.field("peer") == self.names[2]);
        assert!(down.is_none(), "{down:?}");
        self.west.tell(&Command::Stop);
        self.west.wait_for("it stops", |event| *event == Event::Stopped);
        stop([self.east]).await;
    }
}

/// All of it waited in memory, and the link broke over it: of 3,000 of a megabyte two were answered.
#[tokio::test(flavor = "multi_thread")]
async fn many_queries_at_once_with_large_answers_are_all_answered() {
    let scene = Scene::new("askers").await;
    let mut asked = JoinSet::new();
    for number in 0..queries() {
        let bulk = scene.east.actor::<Bulk>(&(number % 7).to_string());
        asked.spawn(async move { bulk.query(Fetch::of(MIB as u32)).timeout(LONG).await.map(|blob| blob.0.len()) });
    }
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), MIB);
    }
    scene.end("queries with large answers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_queries_at_once_wait_for_each_other_at_whoever_asks() {
    let scene = Scene::new("large").await;
    let mut asked = JoinSet::new();
    for number in 0..queries() / 24 {
        let bulk = scene.east.actor::<Bulk>(&(number % 7).to_string());
        let query = Fetch { bytes: MIB as u32, padding: Blob::of(4 * MIB) };
        asked.spawn(async move { bulk.query(query).timeout(LONG).await.map(|blob| blob.0.len()) });
    }
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap().unwrap(), MIB);
    }
    scene.end("large queries").await;
}

/// It took 9 GB of another node.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_asks_and_never_reads_waits_for_itself() {
    const QUERIES: u64 = 2_000;
    let scene = Scene::new("deaf").await;
    let puppet = scene.puppet(2);
    let mut conversation = scene.converse(&puppet).await;
    let query = Fetch { bytes: MIB as u32, padding: Blob::of(2_048) };
    for number in 0..QUERIES {
        conversation.ask(number, "bulk/east", &query).await;
    }
    // Asked of the same actor, after them.
    scene.goes_on().await;
    let answered = conversation.answers(QUERIES as usize).await;
    assert!(answered > 0, "those that were not refused are answered once it reads");
    drop(conversation);
    scene.end("a peer that asks and never reads").await;
}

/// The same with messages whose replies it wants.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_wants_replies_and_never_reads_loses_them() {
    const MESSAGES: u64 = 1_000;
    let scene = Scene::new("greedy").await;
    let messages = messages(MESSAGES).await;
    let puppet = scene.puppet(2);
    let mut conversation = scene.converse(&puppet).await;
    let handled = scene.east.actor::<Bulk>("greedy");
    for message in messages {
        conversation.send(message).await;
    }
    let all_handled = async {
        // A turn of the same mailbox comes after those of the messages before it.
        handled.ask(Fetch::of(1)).timeout(LONG).await
    };
    soon("they are handled", all_handled).await.unwrap();
    scene.end("a peer that wants replies and never reads").await;
}

/// Messages as the north would send them, with the wish for their replies.
async fn messages(count: u64) -> Vec<Data> {
    const TELL_AND_REPLY: u8 = 3;
    // A true node makes one, which the puppet takes; the others are the same message once more.
    let names = ["aside-maker", "aside-taker"];
    let net = Net::new(&names).with("bulk", &names[1..]);
    let puppet = Puppet::new(net.seat(names[1]), &net.seat(names[1]).identity);
    let maker = net.start(names[0], &Probe::new()).await;
    maker.actor::<Bulk>("greedy").send(Fetch::of(MIB as u32)).await.unwrap();
    let mut conversation = puppet.accept().await;
    conversation.go_on(Vec::new()).await;
    let [message]: [Data; 1] = conversation.messages(1).await.try_into().unwrap();
    drop(conversation);
    stop([maker]).await;
    let number = |index: u64| Data {
        previous: Sequence(index),
        sequence: Sequence(index + 1),
        flags: TELL_AND_REPLY,
        ..message.clone()
    };
    (0..count).map(number).collect()
}

/// 64 frames that never end took a gigabyte.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_do_not_end_wait_unread() {
    const STREAMS: usize = 64;
    let scene = Scene::new("endless").await;
    let puppet = scene.puppet(STREAMS as u8);
    let mut conversation = scene.converse(&puppet).await;
    let claimed = (16 * MIB as u32).to_be_bytes();
    let piece = vec![0; 64 << 10];
    // How much was taken, and how often the east was answered when the last of it was.
    let (mut taken, mut last) = (0, 0);
    let answered = std::cell::Cell::new(0);
    let sending = async {
        for stream in 0..STREAMS {
            let beginning = [&claimed[..], &[16]].concat();
            conversation.streams.data_out.write(stream, &mut (&beginning[..]).into()).await.unwrap();
        }
        let mut left = [(16 * MIB - 1) / piece.len(); STREAMS];
        while taken < 3 * A_PEER_BYTES_MAX && answered.get() < last + 100 {
            for (stream, left) in left.iter_mut().enumerate().filter(|(_, left)| **left > 0) {
                let mut buffer = (&piece[..]).into();
                // One that has no room now has its turn again with the next piece.
                let written = conversation.streams.data_out.write(stream, &mut buffer);
                tokio::select! {
                    biased;
                    written = written => written.unwrap(),
                    () = tokio::task::yield_now() => {}
                }
                if buffer.is_empty() {
                    *left -= 1;
                    taken += piece.len();
                    last = answered.get();
                }
            }
            // Others are to be served meanwhile.
            tokio::task::yield_now().await;
        }
    };
    let honest = async {
        loop {
            scene.goes_on().await;
            answered.set(answered.get() + 1);
        }
    };
    tokio::select! {
        () = sending => {}
        () = honest => unreachable!("it has no end"),
    }
    assert!(taken < A_PEER_BYTES_MAX, "{} MiB were taken of frames that do not end", taken / MIB);
    drop(conversation);
    scene.end("frames that do not end").await;
}

/// Each store that said hello was remembered for good.
#[tokio::test(flavor = "multi_thread")]
async fn of_stores_that_a_peer_invents_few_are_remembered_and_never_in_place_of_one_that_was_used() {
    const INVENTED: usize = 40;
    const REMEMBERED_MAX: usize = 8;
    logs::keep();
    let [east, north, west] = ["inventor-east", "inventor-north", "inventor-west"];
    let mut net = Net::new(&[east, north, west]).with("worker", &[west]);
    net.seat_mut(east).place("worker", &[north]);
    let probe = Probe::new();
    let seat = net.seat(north);
    let mut puppet = Puppet::new(seat, &seat.identity);
    let sender = net.start(east, &probe).await;
    for number in 1..=2 {
        sender.actor::<Worker>("one").send(Script::new([Step::Count(number)])).await.unwrap();
    }
    let mut conversation = puppet.accept().await;
    conversation.go_on(Vec::new()).await;
    let [first, second]: [Data; 2] = conversation.messages(2).await.try_into().unwrap();
    drop(conversation);
    stop([sender]).await;

    let node = net.start(west, &probe).await;
    let address = net.seat(west).listen;
    let mut conversation = puppet.converse(west, address).await;
    let (lane, through) = (first.lane, first.sequence);
    conversation.send(first).await;
    conversation.acknowledged(lane, through).await;
    drop(conversation);
    let true_store = puppet.hello.run;
    let lanes = |conversation: &Conversation| -> Vec<(Lane, Sequence)> { conversation.resume.clone().unwrap().lanes };
    for _ in 0..INVENTED {
        puppet.hello.run.shard = rand::random();
        let mut conversation = soon("it is let in", puppet.dial(west, address)).await.unwrap();
        // It also claims to have nothing of lanes that nobody knows.
        let unknown = (0..1_000).map(|line| (Lane { receiver_type: line, partition: 1 }, Sequence(0))).collect();
        conversation.go_on(unknown).await;
        assert!(lanes(&conversation).is_empty());
    }
    // Over a restart too.
    stop([node]).await;
    records::free(&net.seat(west).folder).await;
    let remembered = records::count(&net.seat(west).folder, tables::PEERS);
    assert!(remembered <= REMEMBERED_MAX + 1, "{remembered} stores, its own among them");
    let node = net.start(west, &probe).await;
    puppet.hello.run = true_store;
    let mut conversation = puppet.converse(west, address).await;
    assert_eq!(lanes(&conversation), [(lane, through)], "it goes on where it was");
    let through = second.sequence;
    conversation.send(second).await;
    conversation.acknowledged(lane, through).await;
    stop([node]).await;
}
