//! Far more addresses than may be active, and all kinds of traffic at once on two nodes: in the end nothing stands,
//! nothing is lost or doubled, what is promised an order has it, and nothing is left in memory.
//!
//! `EVERPOST_TEST_SEEDS=30` makes half an hour of the usual minute.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use everpost::{
    Actor, ActorHandle, Backoff, Child, Delivery, Durable, Failure, Group, Handler, Handlers, Hold, HoldError,
    HoldHandler, Message, Node, NodeConfig, Priority, QueryHandler, Restart, Schedule, StopError, Turn,
};
use everpost_tests::net::{Net, linked, settled};
use everpost_tests::probe::Probe;
use everpost_tests::seeds::{Random, seeds};
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const ADDRESSES: u64 = 1000;
const CLIENTS: u64 = 6;
const ROUNDS: u64 = 150;
const CHILDREN: usize = 3;
const HOUR: Duration = Duration::from_secs(3600);

/// Of two types: one sees messages when they are durable, the other at once.
#[derive(Clone)]
struct Weather<const EARLY: bool>(Arc<World>);

/// What the test knows of all that was sent.
#[derive(Default)]
struct World {
    next: AtomicU32,
    expected: Mutex<BTreeMap<u32, Fate>>,
    /// Messages that were put off before, which counts no attempt.
    deferred: Mutex<BTreeSet<u32>>,
    acknowledged: Mutex<Vec<u32>>,
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Handled,
    Acknowledged,
    Rejected,
    /// Its sender or its holder does not know: at most once.
    Unknown,
}

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[message(name = "gust", reply = u32)]
struct Gust {
    number: u32,
    how: How,
}

/// What the handler does; actors are asked by those with smaller keys only, so that they ask in no circle.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum How {
    Calm,
    FailUpTo(u32),
    PanicUpTo(u32),
    Defer(u64),
    Reject,
    Linger(u64),
    Send(u64, u32),
    Ask(u64, u32),
    Later(u64, u32, u64),
}

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[message(name = "grip")]
struct Grip {
    number: u32,
    how: Hands,
}

/// What a holder does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Hands {
    Acknowledge(u64),
    AcknowledgeAndSend(u32),
    GiveBackOnce(u64),
    DropOnce,
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "numbers", reply = Vec<u32>)]
struct Numbers;

impl<const EARLY: bool> Actor for Weather<EARLY> {
    const TYPE: &'static str = if EARLY { "squall" } else { "storm" };
    const DELIVERY: Delivery = if EARLY { Delivery::Pipelined } else { Delivery::Committed };
    const HOLDS_MAX: usize = 2;
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Gust>();
        handlers.on_hold::<Grip>();
        handlers.on_query::<Numbers>();
    }
}

/// Something takes so long. The times are the input of the storm: what overlaps and what is idle comes of them. Nothing
/// is judged by them.
async fn takes(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

impl<const EARLY: bool> QueryHandler<Numbers> for Weather<EARLY> {
    fn answer(&self, numbers: &Vec<u32>, _: Numbers) -> Vec<u32> {
        numbers.clone()
    }
}

impl<const EARLY: bool> Handler<Gust> for Weather<EARLY> {
    async fn handle(&self, numbers: &mut Durable<Vec<u32>>, gust: Gust, turn: &mut Turn<'_>) -> Result<u32, Failure> {
        let calm = |number| Gust { number, how: How::Calm };
        numbers.push(gust.number);
        match gust.how {
            How::FailUpTo(attempt) if turn.attempt() <= attempt => return Err(Failure::retry("told to fail")),
            How::PanicUpTo(attempt) => assert!(turn.attempt() > attempt, "told to panic"),
            How::Defer(millis) if locked(&self.0.deferred).insert(gust.number) => {
                return Err(Failure::defer(Duration::from_millis(millis)));
            }
            How::Reject => return Err(Failure::reject("told to reject")),
            How::Linger(millis) => takes(millis).await,
            How::Send(to, number) => drop(turn.send(&Self::at(&key(to)), calm(number))),
            How::Ask(to, number) => {
                let reply = turn.ask(&Weather::<false>::at(&key(to)), calm(number)).await?;
                assert_eq!(reply, number);
            }
            How::Later(to, number, millis) => {
                turn.schedule(&Self::at(&key(to)), calm(number), Schedule::after(Duration::from_millis(millis)));
            }
            How::Calm | How::FailUpTo(_) | How::Defer(_) => {}
        }
        Ok(gust.number)
    }
}

impl<const EARLY: bool> HoldHandler<Grip> for Weather<EARLY> {
    async fn handle(&self, grip: Grip, hold: Hold<Self>) -> Result<(), Failure> {
        let (world, is_first) = (Arc::clone(&self.0), hold.attempt() == 1);
        tokio::spawn(async move {
            let number = grip.number;
            let acknowledged = match grip.how {
                Hands::GiveBackOnce(millis) if is_first => {
                    let _ = hold.nack(Duration::from_millis(millis), "told to give it back").await;
                    return;
                }
                Hands::DropOnce if is_first => return drop(hold),
                Hands::AcknowledgeAndSend(sent) => {
                    let acknowledged = hold.ack_and_send(Gust { number: sent, how: How::Calm }).await;
                    if acknowledged.is_ok() {
                        world.expect(sent, Fate::Handled);
                    }
                    acknowledged
                }
                Hands::Acknowledge(millis) => {
                    takes(millis).await;
                    hold.ack().await
                }
                Hands::GiveBackOnce(_) | Hands::DropOnce => hold.ack().await,
            };
            match acknowledged {
                Ok(()) => locked(&world.acknowledged).push(number),
                // It comes back, if this did not count.
                Err(HoldError::OutcomeUnknown(_)) => world.expect(number, Fate::Unknown),
                Err(_) => {}
            }
        });
        Ok(())
    }
}

impl World {
    fn number(&self, fate: Fate) -> u32 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.expect(number, fate);
        number
    }

    fn expect(&self, number: u32, fate: Fate) {
        locked(&self.expected).insert(number, fate);
    }

    /// Some way to handle a message, and the fate of the message and of what comes of it.
    fn how(&self, random: &mut Random, own: u64) -> (How, Fate, Option<u32>) {
        let (to, millis) = (random.below(ADDRESSES), random.below(20));
        let caused = || self.number(Fate::Handled);
        match random.below(16) {
            0 => (How::FailUpTo(1 + random.below(2) as u32), Fate::Handled, None),
            1 if random.once_in(3) => (How::PanicUpTo(1), Fate::Handled, None),
            2 => (How::Defer(millis), Fate::Handled, None),
            3 if random.once_in(4) => (How::Reject, Fate::Rejected, None),
            4 => (How::Linger(millis / 4), Fate::Handled, None),
            5 | 6 => with(caused(), |number| How::Send(to, number)),
            7 | 8 if own + 1 < ADDRESSES => {
                let to = own + 1 + random.below(ADDRESSES - own - 1);
                with(caused(), |number| How::Ask(to, number))
            }
            9 => with(caused(), |number| How::Later(to, number, millis)),
            _ => (How::Calm, Fate::Handled, None),
        }
    }
}

fn with(number: u32, how: impl FnOnce(u32) -> How) -> (How, Fate, Option<u32>) {
    (how(number), Fate::Handled, Some(number))
}

fn key(number: u64) -> String {
    number.to_string()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// Polls a few times, and gives up on it then.
async fn dropped_after<F: Future>(polls: u64, future: F) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_)) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// What is to be handled in this order, by address and by the node that it was sent from: what is sent from one node
/// may pass what was sent from another.
type InOrder = BTreeMap<(u64, usize), Vec<u32>>;

/// A message, and whether it is handled in the order in which it was sent.
fn gust(world: &World, random: &mut Random, address: u64) -> (Gust, bool) {
    let (how, fate, _) = world.how(random, address);
    let keeps_its_place = !matches!(how, How::Defer(_) | How::Reject);
    (Gust { number: world.number(fate), how }, keeps_its_place)
}

/// A message whose sender does not know what becomes of it.
fn unknown(world: &World, random: &mut Random, address: u64) -> Gust {
    let (how, _, caused) = world.how(random, address);
    caused.into_iter().for_each(|number| world.expect(number, Fate::Unknown));
    Gust { number: world.number(Fate::Unknown), how }
}

fn grip(world: &World, random: &mut Random) -> Grip {
    let number = world.number(Fate::Acknowledged);
    let how = match random.below(6) {
        0 => Hands::AcknowledgeAndSend(world.number(Fate::Unknown)),
        1 => Hands::GiveBackOnce(random.below(20)),
        2 => Hands::DropOnce,
        _ => Hands::Acknowledge(random.below(10)),
    };
    Grip { number, how }
}

/// Pauses an actor, and resumes it after a while.
async fn pause<const EARLY: bool>(actor: ActorHandle<Weather<EARLY>>, millis: u64, resumed: &mut JoinSet<()>) {
    if actor.pause("for a moment").await.is_ok() {
        resumed.spawn(async move {
            takes(millis).await;
            actor.resume().await.unwrap();
        });
    }
}

/// One client: everything that can be done to an actor from outside, one after another.
async fn client<const EARLY: bool>(world: Arc<World>, nodes: [Node; 2], mut random: Random) -> InOrder {
    let mut in_order = InOrder::new();
    let mut resumed = JoinSet::new();
    for _ in 0..ROUNDS {
        let (address, from) = (random.below(ADDRESSES), random.below(2) as usize);
        let actor = nodes[from].actor::<Weather<EARLY>>(&key(address));
        match random.below(12) {
            0 => drop(actor.query(Numbers).await.unwrap_or_default()),
            1 => {
                let grip = grip(&world, &mut random);
                actor.send(grip).priority(priority(&mut random)).await.unwrap();
            }
            2 if random.once_in(3) => {
                for node in &nodes {
                    pause(node.actor::<Weather<EARLY>>(&key(address)), random.below(30), &mut resumed).await;
                }
            }
            3 => {
                let gust = unknown(&world, &mut random, address);
                dropped_after(random.below(6), actor.send(gust).into_future()).await;
            }
            4 => {
                let number = world.number(Fate::Unknown);
                let expires = Duration::from_millis(random.below(10));
                actor.send(Gust { number, how: How::Calm }).expires_in(expires).await.unwrap();
            }
            5 => {
                let number = world.number(Fate::Handled);
                actor
                    .schedule(Gust { number, how: How::Calm }, Schedule::after(Duration::from_millis(random.below(50))))
                    .await
                    .unwrap();
            }
            6 => {
                let (how, fate, _) = world.how(&mut random, address);
                let number = world.number(fate);
                let reply = actor.ask(Gust { number, how }).timeout(HOUR).await;
                assert_eq!(reply.is_ok(), fate == Fate::Handled, "{reply:?}");
            }
            7 => {
                let (gust, _) = gust(&world, &mut random, address);
                actor.send(gust).priority(priority(&mut random)).await.unwrap();
            }
            _ => {
                let (gust, keeps_its_place) = gust(&world, &mut random, address);
                if keeps_its_place {
                    in_order.entry((address, from)).or_default().push(gust.number);
                }
                if random.once_in(2) {
                    let _ = actor.send(gust).submit().await.unwrap();
                } else {
                    actor.send(gust).await.unwrap();
                }
            }
        }
    }
    resumed.join_all().await;
    in_order
}

fn priority(random: &mut Random) -> Priority {
    [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent][random.below(4) as usize]
}

async fn start(net: &Net, world: &Arc<World>) -> [Node; 2] {
    let start = |name| {
        let builder = net.seat(name).builder(&Probe::new());
        builder.actor(Weather::<false>(Arc::clone(world))).actor(Weather::<true>(Arc::clone(world))).start()
    };
    let nodes = [start("east").await.unwrap(), start("west").await.unwrap()];
    linked(&[&nodes[0], &nodes[1]]).await;
    nodes
}

/// Some of the actors of each node are children of a group.
async fn supervise(node: &Node) -> everpost::Supervised {
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(2) };
    let group = Group::one_for_one("some").restarts(1000, HOUR).backoff(backoff);
    let own = |number: &u64| node.owner_of(Weather::<false>::at(&key(*number)).address()) == node.name();
    let children = (0..ADDRESSES).filter(own).take(CHILDREN);
    let group = children.fold(group, |group, number| {
        let child = Child::actor(Restart::Permanent, key(number), &node.actor::<Weather<false>>(&key(number)));
        group.child(child)
    });
    node.supervise(group).await.unwrap()
}

/// Types are paused and resumed, too.
async fn pause_types(nodes: [Node; 2]) {
    for _ in 0..5 {
        for node in &nodes {
            node.pause_type::<Weather<true>>("for a moment").await.unwrap();
            takes(10).await;
            node.resume_type::<Weather<true>>().await.unwrap();
        }
    }
}

/// Whether every holder has heard that its acknowledgement counts.
fn is_acknowledged(world: &World) -> bool {
    let heard: BTreeSet<u32> = locked(&world.acknowledged).iter().copied().collect();
    let expected = locked(&world.expected);
    expected.iter().all(|(number, fate)| *fate != Fate::Acknowledged || heard.contains(number))
}

async fn verify(world: &World, nodes: &[Node; 2], in_order: [Vec<InOrder>; 2]) {
    let mut handled: BTreeMap<u32, usize> = BTreeMap::new();
    for address in 0..ADDRESSES {
        let committed = nodes[0].actor::<Weather<false>>(&key(address)).query(Numbers).await.unwrap();
        let early = nodes[0].actor::<Weather<true>>(&key(address)).query(Numbers).await.unwrap();
        for (numbers, clients) in [committed, early].into_iter().zip(&in_order) {
            let from_each =
                |client: &InOrder| [0, 1].map(|from| client.get(&(address, from)).cloned().unwrap_or_default());
            for sent in clients.iter().flat_map(from_each) {
                let got: Vec<u32> = numbers.iter().copied().filter(|number| sent.contains(number)).collect();
                assert_eq!(got, sent, "messages of one sender to {address} keep their order");
            }
            numbers.into_iter().for_each(|number| *handled.entry(number).or_default() += 1);
        }
    }
    let mut acknowledged: BTreeMap<u32, usize> = BTreeMap::new();
    locked(&world.acknowledged).iter().for_each(|number| *acknowledged.entry(*number).or_default() += 1);
    let mut rejected: BTreeMap<u32, usize> = BTreeMap::new();
    for node in nodes {
        for letter in node.dead_letters().list().await.unwrap() {
            let gust: Gust = postcard::from_bytes(&letter.payload).unwrap();
            *rejected.entry(gust.number).or_default() += 1;
        }
    }
    for (number, fate) in &*locked(&world.expected) {
        let times = |counted: &BTreeMap<u32, usize>| counted.get(number).copied().unwrap_or_default();
        let found = [times(&handled), times(&acknowledged), times(&rejected)];
        match fate {
            Fate::Handled => assert_eq!(found, [1, 0, 0], "{number} is to be handled"),
            Fate::Acknowledged => assert_eq!(found, [0, 1, 0], "{number} is to be acknowledged"),
            Fate::Rejected => assert_eq!(found, [0, 0, 1], "{number} is to be rejected"),
            Fate::Unknown => assert!(found.iter().sum::<usize>() <= 1, "{number} came {found:?} times"),
        }
    }
}

/// Little of everything.
fn narrow(activations_max: usize) -> NodeConfig {
    NodeConfig {
        activations_max,
        attempts_max: 1000,
        idle_after: Duration::from_millis(40),
        mailbox_messages_max: 8,
        node_messages_max: 200,
        outbox_messages_max: 100,
        send_timeout: HOUR,
        ask_timeout: HOUR,
        ..everpost_tests::config()
    }
}

async fn drained_of_timers(east: &Node, west: &Node) {
    // A timer that fires meanwhile sends one message more.
    loop {
        settled(&[east, west]).await;
        if east.statistics().timers + west.statistics().timers == 0 {
            break;
        }
        eventually("timers fire", || east.statistics().timers + west.statistics().timers == 0).await;
    }
}

async fn storm(activations_max: usize, is_restarted: bool, mut random: Random) {
    let net = Net::new(&["east", "west"]).config(&narrow(activations_max));
    let world = Arc::new(World::default());
    let mut nodes = start(&net, &world).await;
    let mut groups = vec![supervise(&nodes[0]).await, supervise(&nodes[1]).await];
    let (mut committed, mut early) = (JoinSet::new(), JoinSet::new());
    for _ in 0..CLIENTS {
        let mut random = || Random::new(random.below(u64::MAX));
        committed.spawn(client::<false>(Arc::clone(&world), nodes.clone(), random()));
        early.spawn(client::<true>(Arc::clone(&world), nodes.clone(), random()));
    }
    let pausing = tokio::spawn(pause_types(nodes.clone()));
    let in_order =
        [soon("nobody is parked", committed.join_all()).await, soon("nobody is parked", early.join_all()).await];
    soon("types are resumed", pausing).await.unwrap();
    if is_restarted {
        for node in &nodes {
            let stopped = soon("it stops", node.stop()).await;
            assert!(matches!(stopped, Ok(()) | Err(StopError::CutOff(_))), "{stopped:?}");
        }
        groups.clear();
        drop(nodes);
        nodes = start(&net, &world).await;
    }
    let [east, west] = &nodes;
    drained_of_timers(east, west).await;
    // Only now: a child whose group has been stopped stays down, and what a timer sends to it would wait.
    for group in groups {
        soon("the group stops", group.stop()).await.unwrap();
    }
    eventually("holders hear of their acknowledgements", || is_acknowledged(&world)).await;
    verify(&world, &nodes, in_order).await;
    for node in &nodes {
        let what = format!("{} is empty", node.name());
        eventually(&what, || {
            let found = node.statistics();
            let left = if is_restarted { 0 } else { CHILDREN };
            (found.waiting, found.outbox, found.timers, found.activations) == (0, 0, 0, 0) && found.mailboxes <= left
        })
        .await;
    }
    everpost_tests::net::stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_of_activations_nothing_stands_and_nothing_is_lost_or_doubled() {
    const MOST: [usize; 6] = [1, 2, 5, 10, 30, 100];
    for seed in seeds("activations::in_a_storm_of_activations_nothing_stands_and_nothing_is_lost_or_doubled", 6) {
        let which = seed.value() as usize;
        storm(MOST[which % MOST.len()], which % 2 == 1, seed.random()).await;
    }
}
