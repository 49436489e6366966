//! Everything that may fail fails at once, and in the end every message is accounted for: handled once, or a dead
//! letter.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everpost::{
    Actor, Backoff, Budget, Child, DeadLetter, Durable, Failure, Group, Handler, Handlers, Message, Node, NodeConfig,
    Supervised, Turn,
};
use everpost_tests::seeds::seeds;
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};

/// How many awaits the handler has.
const AWAITS: u32 = 6;
const ADDRESSES: u32 = 8;
const MESSAGES: u32 = 40;

/// Waits several times, and may fail at each.
struct Stormy {
    /// Handlers that run now.
    running: Arc<AtomicUsize>,
    /// Messages that were deferred before: that counts no attempt.
    deferred: Mutex<BTreeSet<u32>>,
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "gust")]
struct Gust {
    number: u32,
    how: How,
    /// At which await.
    at: u32,
    /// Up to and including this attempt.
    up_to: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum How {
    Panic,
    Fail,
    Hang,
    Defer,
}

/// Keeps what was handled.
struct Ledger;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "entry")]
struct Entry(u32);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "entries", reply = Vec<u32>)]
struct Entries;

impl Actor for Stormy {
    const TYPE: &'static str = "stormy";
    const TIME_LIMIT: Duration = Duration::from_millis(150);
    const BUDGET: Budget = Budget::new(1, Duration::from_secs(600));
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Gust>();
    }
}

impl Actor for Ledger {
    const TYPE: &'static str = "ledger";
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Entry>();
        handlers.on::<Entries>();
    }
}

/// Counts as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler<Gust> for Stormy {
    async fn handle(&self, handled: &mut Durable<Vec<u32>>, gust: Gust, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let running = Counted::new(&self.running);
        let fails = match gust.how {
            How::Defer => self.deferred.lock().expect("nobody panics with it").insert(gust.number),
            _ => turn.attempt() <= gust.up_to,
        };
        for at in 0..AWAITS {
            if fails && at == gust.at {
                match gust.how {
                    How::Panic => panic!("told to panic"),
                    How::Fail => return Err(Failure::retry("told to fail")),
                    How::Hang => std::future::pending().await,
                    How::Defer => return Err(Failure::defer(Duration::from_millis(2))),
                }
            }
            match at {
                1 => handled.push(gust.number),
                3 => drop(turn.send(&Ledger::at("all"), Entry(gust.number))),
                _ => {}
            }
            tokio::task::yield_now().await;
        }
        drop(running);
        Ok(())
    }
}

impl Handler<Entry> for Ledger {
    async fn handle(&self, entries: &mut Durable<Vec<u32>>, entry: Entry, _: &mut Turn<'_>) -> Result<(), Failure> {
        entries.push(entry.0);
        Ok(())
    }
}

impl Handler<Entries> for Ledger {
    async fn handle(&self, entries: &mut Durable<Vec<u32>>, _: Entries, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        Ok(entries.to_vec())
    }
}

/// A child that ends again and again.
fn failing(name: &str, living: &Arc<AtomicUsize>) -> Child {
    let living = Arc::clone(living);
    Child::permanent(name, move |_| {
        let living = Arc::clone(&living);
        async move {
            let _counted = Counted::new(&living);
            tokio::task::yield_now().await;
            panic!("told to panic")
        }
    })
}

/// A child that only ends when it is told to.
fn steady(name: &str, living: &Arc<AtomicUsize>) -> Child {
    let living = Arc::clone(living);
    Child::permanent(name, move |context| {
        let living = Arc::clone(&living);
        async move {
            let _counted = Counted::new(&living);
            context.stopping().await;
            Ok(())
        }
    })
}

/// Two levels whose budgets are both spent.
async fn doomed(node: &Node, name: &str, living: &Arc<AtomicUsize>) -> Supervised {
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(3) };
    let inner = Group::one_for_all("inner").restarts(2, Duration::from_secs(600)).backoff(backoff);
    let inner = inner.child(steady("steady", living)).child(failing("failing", living));
    let outer = Group::rest_for_one(name).restarts(2, Duration::from_secs(600)).backoff(backoff);
    node.supervise(outer.child(steady("first", living)).child(inner).child(steady("last", living))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_of_failures_every_message_is_accounted_for_and_nothing_is_left_behind() {
    for seed in seeds("storm::in_a_storm_of_failures_every_message_is_accounted_for_and_nothing_is_left_behind", 3) {
        let (value, mut random) = (seed.value(), seed.random());
        let folder = everpost_tests::folder();
        let (running, living) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let config = NodeConfig { attempts_max: 4, idle_after: Duration::from_millis(40), ..everpost_tests::config() };
        let builder = Node::builder("node", folder.path());
        let builder = builder.actor(Stormy { running: Arc::clone(&running), deferred: Mutex::default() });
        let node = builder.actor(Ledger).config(config).start().await.unwrap();
        let doomed_groups = [doomed(&node, "one", &living).await, doomed(&node, "two", &living).await];

        let mut poison = BTreeSet::new();
        for number in 0..MESSAGES * ADDRESSES {
            let how = [How::Panic, How::Fail, How::Hang, How::Defer][random.below(4) as usize];
            // One in ten never gets through, unless it is only put off.
            let is_poison = random.once_in(10) && !matches!(how, How::Defer);
            let (at, up_to) = (random.below(u64::from(AWAITS)) as u32, random.below(3) as u32);
            if is_poison {
                poison.insert(number);
            }
            let gust = Gust { number, how, at, up_to: if is_poison { u32::MAX } else { up_to } };
            node.actor::<Stormy>(&(number % ADDRESSES).to_string()).send(gust).await.unwrap();
        }
        // One is stopped in the middle of its restarts, the other gives up at both levels.
        let [stopped, given_up] = doomed_groups;
        let _ = soon("it stops", stopped.stop()).await;
        let ended = soon("it gives up", given_up.ended()).await;
        assert!(ended.is_err(), "its budget is spent");

        // Actors whose budgets are spent are resumed, as an operator would, until everything is done.
        soon("it drains", async {
            while tokio::time::timeout(Duration::from_millis(20), node.drained()).await.is_err() {
                for address in 0..ADDRESSES {
                    node.actor::<Stormy>(&address.to_string()).resume().await.unwrap();
                }
            }
        })
        .await;
        let mut entries = node.actor::<Ledger>("all").ask(Entries).await.unwrap();
        entries.sort_unstable();
        let letters = node.dead_letters().list().await.unwrap();
        let mut dead: Vec<u32> = letters.iter().map(number_of).collect();
        dead.sort_unstable();
        assert_eq!(dead, poison.iter().copied().collect::<Vec<_>>(), "seed {value}: those that never get through");
        let alive: Vec<u32> = (0..MESSAGES * ADDRESSES).filter(|number| !poison.contains(number)).collect();
        assert_eq!(entries, alive, "seed {value}: all others, once");

        assert_eq!(running.load(Ordering::SeqCst), 0, "seed {value}: no handler is left");
        assert_eq!(living.load(Ordering::SeqCst), 0, "seed {value}: no child is left");
        eventually("no activation is left", || node.statistics().activations == 0).await;
        assert_eq!((node.statistics().waiting, node.dead_letters().count()), (0, poison.len()), "seed {value}");
        node.stop().await.unwrap();
    }
}

fn number_of(letter: &DeadLetter) -> u32 {
    postcard::from_bytes::<Gust>(&letter.payload).expect("it is a gust").number
}
