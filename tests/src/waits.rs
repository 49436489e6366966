//! Everything that waits, for the test of clocks: each kind once with a short wait, which has to end, and once with a long one,
//! which must not. Whatever runs says so, again and again.

use std::any::Any;
use std::sync::LazyLock;
use std::time::Duration;

use everpost::{
    Actor, Child, Durable, Failure, Group, Handler, Handlers, Hold, HoldHandler, Message, Micros, Node, NodeConfig,
    Schedule, Turn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};

use crate::protocol::{Event, emit};

/// Ends within a test.
const SHORT_WAIT: Duration = Duration::from_millis(300);
/// Ends in no test.
const LONG_WAIT: Duration = Duration::from_secs(30 * 60);

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
    /// A message for its turn, for as long as it has not expired.
    Expiry,
    /// An idempotency key to be forgotten.
    Key,
}

/// What a child of the test of clocks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Set everything in motion.
    Begin,
    /// Let messages that may have expired have their turns, use the key again, and say [`Event::Looked`].
    Look,
    /// Let the task of a group fail, which may fail once within the long wait. It says [`Event::Reached`] when it begins, and
    /// [`Event::GaveUp`] when it has failed too often.
    Fail,
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

/// Holds that nobody decides on.
static HELD: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::const_new(Vec::new());
/// Lets the task of the group fail.
static FAILS: LazyLock<Notify> = LazyLock::new(Notify::new);

impl<const LONG: bool> Waiting<LONG> {
    const WAIT: Duration = if LONG { LONG_WAIT } else { SHORT_WAIT };
}

impl<const LONG: bool> Actor for Waiting<LONG> {
    const TYPE: &'static str = if LONG { "waiting-long" } else { "waiting-short" };
    const HOLD_LIMIT: Duration = Self::WAIT;
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Wait>();
        handlers.on_hold::<Keep>();
    }
}

impl<const LONG: bool> Handler<Wait> for Waiting<LONG> {
    async fn handle(&self, runs: &mut Durable<u64>, Wait(kind): Wait, _: &mut Turn<'_>) -> Result<u64, Failure> {
        emit(&Event::Ran(kind, LONG));
        match kind {
            Kind::Backoff => return Err(Failure::retry_after(Self::WAIT, "it always fails")),
            Kind::Deferral => return Err(Failure::defer(Self::WAIT)),
            _ => **runs += 1,
        }
        Ok(**runs)
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
    NodeConfig { attempts_max: u32::MAX, idempotency_retention: LONG_WAIT, ..crate::config() }
}

/// Does what a child is told.
///
/// # Panics
///
/// When the node does not.
pub async fn obey(node: &Node, order: Order) {
    match order {
        Order::Begin => {
            begin::<false>(node).await;
            begin::<true>(node).await;
        }
        Order::Look => {
            node.actor::<Waiting<false>>("expiry").resume().await.expect("the store works");
            node.actor::<Waiting<true>>("expiry").resume().await.expect("the store works");
            assert_eq!(use_key(node).await, 1, "the key is known: its message is not handled again");
            emit(&Event::Looked);
        }
        Order::Fail => fail(node).await,
        Order::Send(messages) => {
            for number in 0..messages {
                let actor = node.actor::<Waiting<true>>(&format!("expiry-{}", number % 4));
                let sent = actor.send(Wait(Kind::Expiry)).expires_in(Duration::from_secs(60)).await;
                sent.expect("the node takes it");
            }
        }
    }
}

async fn begin<const LONG: bool>(node: &Node) {
    let actor = |key: &str| node.actor::<Waiting<LONG>>(key);
    let wait = Waiting::<LONG>::WAIT;
    actor("backoff").send(Wait(Kind::Backoff)).await.expect("the node takes it");
    actor("deferral").send(Wait(Kind::Deferral)).await.expect("the node takes it");
    actor("hold").send(Keep).await.expect("the node takes it");
    actor("after").send_after(Wait(Kind::After), wait).await.expect("the node takes it");
    actor("at").send_at(Wait(Kind::At), Micros::now().plus(wait)).await.expect("the node takes it");
    let every = Schedule::every(wait).expect("the period is long enough");
    actor("every").schedule(Wait(Kind::Every), every).await.expect("the node takes it");
    actor("expiry").pause("its message may expire").await.expect("the store works");
    actor("expiry").send(Wait(Kind::Expiry)).expires_in(wait).await.expect("the node takes it");
    if LONG {
        assert_eq!(use_key(node).await, 1);
    }
}

async fn use_key(node: &Node) -> u64 {
    let actor = node.actor::<Waiting<true>>("key");
    actor.ask(Wait(Kind::Key)).idempotency_key("key").await.expect("it is answered")
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
