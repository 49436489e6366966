//! Everything that waits, for the test of clocks: each kind once with a short wait, which has to end, and once with a
//! long one, which must not. Whatever runs says so, again and again.

use std::any::Any;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use everpost::{
    Actor, Budget, Child, Durable, Failure, Group, Handler, Handlers, Hold, HoldHandler, Message, Micros, Missed, Node,
    NodeConfig, Schedule, Turn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use crate::protocol::{Event, emit};
use crate::wait::{DEADLINE, until};

/// Ends within a test.
const SHORT_WAIT: Duration = Duration::from_millis(300);
/// Ends in no test.
pub const LONG_WAIT: Duration = Duration::from_secs(30 * 60);
const MINUTE: Duration = Duration::from_secs(60);
/// More than what waits for a short time is tried in any course; few enough for [`Kind::Budget`] to spend them all.
const ATTEMPTS_MAX: u32 = 600;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A message for its next attempt.
    Backoff,
    /// A message that was deferred.
    Deferral,
    /// A holder for the end of its time.
    Hold,
    /// A timer that was set for later.
    After,
    /// A timer at a fixed rate.
    Every,
    /// A timer for a moment that was named.
    At,
    /// A cron expression: one for each minute, and one for a time of day.
    Cron,
    /// A message for its turn, for as long as it has not expired.
    Expiry,
    /// An idempotency key to be forgotten.
    Key,
    /// A dead letter to be dropped.
    Letter,
    /// An actor whose restart budget allows one failure, for a failure to count no more: then it goes on after another.
    Budget,
    /// A message that was in flight when the process was killed, for its trial.
    Suspect,
}

/// What a child of the test of clocks is told. What waits does so at the node of its actors; it is sent from there, or
/// from another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To the node of the actors: make ready what only it can, and say [`Event::Ready`].
    Prepare,
    /// Set everything in motion.
    Begin,
    /// To the node of the actors: let messages that may have expired have their turns, look at what it keeps, and say
    /// [`Event::Looked`].
    Look,
    /// Use the key again, and say [`Event::UsedAgain`].
    UseAgain,
    /// Let the task of a group fail, which may fail once within the long wait. It says [`Event::Reached`] when it
    /// begins, and [`Event::GaveUp`] when it has failed too often.
    Fail,
    /// Have a message in flight, and keep it there until the process is killed if this says so.
    HaveInHand(bool),
    /// Say [`Event::Believed`] when the wall clock is.
    Believe,
    /// Send this many messages to the actors with long waits that expire in a minute.
    Send(u32),
}

/// Runs when `waits` are over, and says so.
#[derive(Debug)]
pub struct Waiting<const LONG: bool>;

/// Handed in again when it is over.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "wait", reply = u64)]
struct Wait(Kind);

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "keep")]
struct Keep;

/// What time it is, as the node believes.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "time", reply = u64)]
struct Time;

/// Holds that nobody decides on.
static HELD: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::const_new(Vec::new());
/// Lets the task of the group fail.
static FAILS: LazyLock<Notify> = LazyLock::new(Notify::new);
/// Whether [`Kind::Suspect`] stays in flight.
static STAYS_IN_HAND: AtomicBool = AtomicBool::new(false);

impl<const LONG: bool> Waiting<LONG> {
    const WAIT: Duration = if LONG { LONG_WAIT } else { SHORT_WAIT };
}

impl<const LONG: bool> Actor for Waiting<LONG> {
    const TYPE: &'static str = if LONG { "waiting-long" } else { "waiting-short" };
    const HOLD_LIMIT: Duration = Self::WAIT;
    const BUDGET: Budget = Budget::new(1, Self::WAIT);
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Wait>();
        handlers.on::<Time>();
        handlers.on_hold::<Keep>();
    }
}

impl<const LONG: bool> Handler<Wait> for Waiting<LONG> {
    async fn handle(&self, runs: &mut Durable<u64>, Wait(kind): Wait, _: &mut Turn<'_>) -> Result<u64, Failure> {
        match kind {
            Kind::Letter => return Err(Failure::reject("it is to be a dead letter")),
            Kind::Budget => return Err(Failure::retry_after(Duration::ZERO, "until it is given up on")),
            _ => emit(&Event::Ran(kind, LONG)),
        }
        match kind {
            Kind::Backoff => return Err(Failure::retry_after(Self::WAIT, "it always fails")),
            Kind::Deferral => return Err(Failure::defer(Self::WAIT)),
            // In hand is what a thread polls.
            Kind::Suspect if STAYS_IN_HAND.load(Ordering::Relaxed) => loop {
                std::thread::park();
            },
            _ => **runs += 1,
        }
        Ok(**runs)
    }
}

impl<const LONG: bool> Handler<Time> for Waiting<LONG> {
    async fn handle(&self, _: &mut Durable<u64>, _: Time, turn: &mut Turn<'_>) -> Result<u64, Failure> {
        Ok(turn.sent_at().0)
    }
}

impl<const LONG: bool> HoldHandler<Keep> for Waiting<LONG> {
    async fn handle(&self, _: Keep, hold: Hold<Self>) -> Result<(), Failure> {
        emit(&Event::Ran(Kind::Hold, LONG));
        HELD.lock().await.push(Box::new(hold));
        Ok(())
    }
}

/// The settings of a node whose waits are looked at.
#[must_use]
pub fn config() -> NodeConfig {
    config_for(LONG_WAIT)
}

/// The settings are of the whole node, so this one beside it keeps what it keeps for a short time.
///
/// # Panics
///
/// When it does not start.
pub async fn hasty(folder: &Path) -> Node {
    let node = Node::builder("hasty", folder.join("hasty")).actor(Waiting::<false>);
    node.config(config_for(SHORT_WAIT)).start().await.expect("it starts")
}

fn config_for(retention: Duration) -> NodeConfig {
    NodeConfig {
        attempts_max: ATTEMPTS_MAX,
        idempotency_retention: retention,
        dead_letter_retention: retention,
        // What is to be forgotten is looked for as often.
        idle_after: SHORT_WAIT,
        ..crate::config()
    }
}

/// Does what a child is told.
///
/// # Panics
///
/// When the node does not.
pub async fn obey(node: &Node, hasty: &Node, order: Order) {
    match order {
        Order::Prepare => {
            prepare::<false>(node, hasty).await;
            prepare::<true>(node, node).await;
            emit(&Event::Ready);
        }
        Order::Begin => {
            begin::<false>(node).await;
            begin::<true>(node).await;
            assert_eq!(use_key::<false>(hasty).await, 1);
            assert_eq!(use_key::<true>(node).await, 1);
        }
        Order::Look => {
            until("the letter is dropped", DEADLINE, async || hasty.dead_letters().count() == 0).await;
            look::<false>(node, hasty).await;
            look::<true>(node, node).await;
            emit(&Event::Looked);
        }
        Order::UseAgain => {
            until("the key is forgotten", DEADLINE, async || use_key::<false>(hasty).await == 2).await;
            assert_eq!(use_key::<true>(node).await, 1, "the key is known: its message is not handled again");
            emit(&Event::UsedAgain);
        }
        Order::Fail => fail(node).await,
        Order::HaveInHand(stays) => {
            STAYS_IN_HAND.store(stays, Ordering::Relaxed);
            node.actor::<Waiting<false>>("suspect").send(Wait(Kind::Suspect)).await.expect("the node takes it");
        }
        Order::Believe => {
            until("the clock is believed", 3 * DEADLINE, || is_believed(node)).await;
            emit(&Event::Believed);
        }
        Order::Send(messages) => {
            for number in 0..messages {
                let actor = node.actor::<Waiting<true>>(&format!("expiry-{}", number % 4));
                let sent = actor.send(Wait(Kind::Expiry)).expires_in(MINUTE).await;
                sent.expect("the node takes it");
            }
        }
    }
}

async fn prepare<const LONG: bool>(node: &Node, keeper: &Node) {
    let expiry = node.actor::<Waiting<LONG>>("expiry");
    expiry.pause("its message may expire").await.expect("the store works");
    give_up::<LONG>(keeper, Kind::Letter).await;
    give_up::<LONG>(node, Kind::Budget).await;
}

/// Sends what becomes a dead letter, and waits until it is one.
async fn give_up<const LONG: bool>(node: &Node, kind: Kind) {
    let actor = node.actor::<Waiting<LONG>>(&format!("{kind:?}"));
    let sent = actor.send(Wait(kind)).submit().await.expect("the node takes it");
    sent.processed().await.expect_err("it is given up on");
}

async fn begin<const LONG: bool>(node: &Node) {
    let actor = |key: &str| node.actor::<Waiting<LONG>>(key);
    let wait = Waiting::<LONG>::WAIT;
    actor("backoff").send(Wait(Kind::Backoff)).await.expect("the node takes it");
    actor("deferral").send(Wait(Kind::Deferral)).await.expect("the node takes it");
    actor("hold").send(Keep).await.expect("the node takes it");
    actor("after").schedule(Wait(Kind::After), Schedule::after(wait)).await.expect("the node takes it");
    actor("at").schedule(Wait(Kind::At), Schedule::at(Micros::now().plus(wait))).await.expect("the node takes it");
    let every = Schedule::every(wait).expect("the period is long enough");
    actor("every").schedule(Wait(Kind::Every), every).await.expect("the node takes it");
    let (expression, missed) =
        if LONG { (daily_in(wait), Missed::Once) } else { ("* * * * *".to_owned(), Missed::All) };
    let cron = Schedule::cron(&expression).expect("it can be read").missed(missed);
    actor("cron").schedule(Wait(Kind::Cron), cron).await.expect("the node takes it");
    actor("expiry").send(Wait(Kind::Expiry)).expires_in(wait).await.expect("the node takes it");
}

/// The time of day that it is when this has passed, or within a minute after.
fn daily_in(wait: Duration) -> String {
    let minutes = Micros::now().plus(wait).plus(MINUTE).0 / 60_000_000;
    format!("{} {} * * *", minutes % 60, minutes / 60 % 24)
}

async fn look<const LONG: bool>(node: &Node, keeper: &Node) {
    node.actor::<Waiting<LONG>>("expiry").resume().await.expect("the store works");
    let letters = keeper.dead_letters().list().await.expect("the store works");
    if !letters.iter().any(|letter| letter.address.key() == "Letter") {
        emit(&Event::Ran(Kind::Letter, LONG));
    }
    give_up::<LONG>(node, Kind::Budget).await;
    if node.actor::<Waiting<LONG>>("Budget").paused().is_none() {
        emit(&Event::Ran(Kind::Budget, LONG));
    }
}

async fn use_key<const LONG: bool>(node: &Node) -> u64 {
    let actor = node.actor::<Waiting<LONG>>("key");
    actor.ask(Wait(Kind::Key)).idempotency_key("key").await.expect("it is answered")
}

async fn is_believed(node: &Node) -> bool {
    let believed = node.actor::<Waiting<true>>("time").ask(Time).await.expect("it is answered");
    // No step that is looked at is as small.
    believed.abs_diff(Micros::now().0) < MINUTE.as_micros() as u64 / 2
}

/// The task of a group fails, once.
async fn fail(node: &Node) {
    let failing = || {
        Child::permanent("failing", |_| async {
            emit(&Event::Reached(0));
            FAILS.notified().await;
            Err(Failure::retry("told to fail"))
        })
    };
    let group = Group::one_for_one("failing").restarts(1, LONG_WAIT).backoff(crate::config().backoff);
    // The group of an earlier order goes on.
    if let Ok(group) = node.supervise(group.child(failing())).await {
        tokio::spawn(async move {
            if let Err(ended) = group.ended().await {
                emit(&Event::GaveUp(ended.to_string()));
            }
        });
    }
    FAILS.notify_one();
}
