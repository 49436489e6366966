//! Messages that are sent again under their idempotency key, and were told to be others: for the order of a map, for a
//! new version of their type, on another node, or when as many keys were kept as may be.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use everpost::{
    Actor, AskError, Durable, Failure, Handler, Handlers, Hold, HoldHandler, Message, Node, NodeBuilder, NodeConfig,
    ProcessedError, QueryHandler, Refusal, SendError, Turn, UpgradeError,
};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};

/// Version 1 of a message, and version 2 of it: of builds before and after.
mod order {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, Message)]
    #[message(name = "order", version = 1, reply = u32)]
    pub(super) struct Order1 {
        pub(super) euros: i64,
    }

    #[derive(Clone, Serialize, Deserialize, Message)]
    #[message(name = "order", version = 2, reply = u32, upgrade = from_first)]
    pub(super) struct Order2 {
        pub(super) cents: i64,
    }

    fn from_first(_: u16, bytes: &[u8]) -> Result<Order2, UpgradeError> {
        let first: Order1 = postcard::from_bytes(bytes).map_err(UpgradeError::new)?;
        Ok(Order2 { cents: first.euros * 100 })
    }
}

use order::{Order1, Order2};

#[derive(Clone, Serialize, Deserialize, Message)]
#[message(name = "basket", reply = u32)]
struct Basket {
    lines: HashMap<String, u32>,
}

fn basket(lines: u32) -> Basket {
    // Each map has an order of its own.
    Basket { lines: (0..lines).map(|line| (format!("line {line}"), line)).collect() }
}

#[derive(Clone, Serialize, Deserialize, Message)]
#[message(name = "charge", reply = u32, same_by = "id, tags")]
struct Charge {
    id: u32,
    #[message(unordered)]
    tags: HashSet<String>,
    asked_at: u64,
}

/// The newest counts, and is the same whatever it says.
#[derive(Clone, Serialize, Deserialize, Message)]
#[message(name = "refresh", reply = u32, same_by = "name")]
struct Refresh(u64);

/// Held until it is acknowledged.
#[derive(Clone, Serialize, Deserialize, Message)]
#[message(name = "parcel")]
struct Parcel(u32);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "count", reply = u32)]
struct Count;

/// A shop of the build before or after.
struct Shop<const BUILD: u8>;

impl<const BUILD: u8> Actor for Shop<BUILD> {
    const TYPE: &'static str = "shop";
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        if BUILD == 1 {
            handlers.on::<Order1>();
        } else {
            handlers.on::<Order2>();
        }
        handlers.on::<Basket>();
        handlers.on::<Charge>();
        handlers.on::<Refresh>();
        handlers.on_query::<Count>();
    }
}

macro_rules! counts {
    ($($message:ty),*) => {
        $(impl<const BUILD: u8> Handler<$message> for Shop<BUILD> {
            async fn handle(&self, count: &mut Durable<u32>, _: $message, _: &mut Turn<'_>) -> Result<u32, Failure> {
                **count += 1;
                Ok(**count)
            }
        })*
    };
}

counts!(Order1, Order2, Basket, Charge, Refresh);

impl<const BUILD: u8> QueryHandler<Count> for Shop<BUILD> {
    fn answer(&self, count: &u32, _: Count) -> u32 {
        *count
    }
}

fn builder<const BUILD: u8>(folder: &Path, config: NodeConfig) -> NodeBuilder {
    Node::builder("node", folder).config(config).actor(Shop::<BUILD>)
}

fn full_of(keys: usize) -> NodeConfig {
    NodeConfig { idempotency_keys_max: keys, ..everpost_tests::config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_map_is_the_same_in_whatever_order_the_map_is() {
    let folder = everpost_tests::folder();
    let node = builder::<1>(folder.path(), everpost_tests::config()).start().await.unwrap();
    let shop = node.actor::<Shop<1>>("one");
    for _ in 0..8 {
        assert_eq!(shop.ask(basket(20)).idempotency_key("k").await.unwrap(), 1);
    }
    let other = shop.ask(basket(19)).idempotency_key("k").await;
    assert!(matches!(other, Err(AskError::KeyReused)), "{other:?}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_is_the_choice_of_the_type() {
    let folder = everpost_tests::folder();
    let node = builder::<1>(folder.path(), everpost_tests::config()).start().await.unwrap();
    let shop = node.actor::<Shop<1>>("one");
    let charge = |id, tags: u32, asked_at| {
        let tags = (0..tags).map(|tag| format!("tag {tag}")).collect();
        shop.ask(Charge { id, tags, asked_at }).idempotency_key("charge")
    };
    for asked_at in 0..8 {
        assert_eq!(charge(1, 20, asked_at).await.unwrap(), 1);
        assert_eq!(shop.ask(Refresh(asked_at)).idempotency_key("refresh").await.unwrap(), 2);
    }
    for other in [charge(2, 20, 0).await, charge(1, 19, 0).await, shop.ask(basket(1)).idempotency_key("refresh").await]
    {
        assert!(matches!(other, Err(AskError::KeyReused)), "{other:?}");
    }
    node.stop().await.unwrap();
}

/// It was read when the message was sent, and once more when it was handled.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_under_a_key_is_read_once() {
    const KEYS: u32 = 100;
    let folder = everpost_tests::folder();
    let node = builder::<1>(folder.path(), everpost_tests::config()).start().await.unwrap();
    let key = |number: u32| format!("key {number}");
    for number in 1..=KEYS {
        let shop = node.actor::<Shop<1>>("one");
        assert_eq!(shop.ask(Order1 { euros: 7 }).idempotency_key(&key(number)).await.unwrap(), number);
    }
    node.stop().await.unwrap();
    drop(node);

    let node = builder::<1>(folder.path(), everpost_tests::config()).start().await.unwrap();
    let shop = node.actor::<Shop<1>>("one");
    assert_eq!(shop.query(Count).await.unwrap(), KEYS, "its state is in memory from here on");
    let before = node.store_statistics().records_read;
    for number in 1..=KEYS {
        assert_eq!(shop.ask(Order1 { euros: 7 }).idempotency_key(&key(number)).await.unwrap(), number);
    }
    assert_eq!(node.store_statistics().records_read - before, u64::from(KEYS));
    let other = shop.ask(Order1 { euros: 8 }).idempotency_key(&key(1)).await;
    assert!(matches!(other, Err(AskError::KeyReused)), "{other:?}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_next_version_is_the_same_as_the_one_that_it_is_an_upgrade_of() {
    let folder = everpost_tests::folder();
    let node = builder::<1>(folder.path(), everpost_tests::config()).start().await.unwrap();
    assert_eq!(node.actor::<Shop<1>>("one").ask(Order1 { euros: 7 }).idempotency_key("k").await.unwrap(), 1);
    node.stop().await.unwrap();
    drop(node);
    let node = builder::<2>(folder.path(), everpost_tests::config()).start().await.unwrap();
    let shop = node.actor::<Shop<2>>("one");
    assert_eq!(shop.ask(Order2 { cents: 700 }).idempotency_key("k").await.unwrap(), 1);
    // The bytes are those of the first, and mean something else.
    let other = shop.ask(Order2 { cents: 7 }).idempotency_key("k").await;
    assert!(matches!(other, Err(AskError::KeyReused)), "{other:?}");
    assert_eq!(shop.query(Count).await.unwrap(), 1);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_is_answered_and_a_new_one_refused_by_name_when_no_more_are_kept() {
    let folder = everpost_tests::folder();
    let node = builder::<1>(folder.path(), full_of(2)).start().await.unwrap();
    let shop = node.actor::<Shop<1>>("one");
    for (count, key) in [(1, "a"), (2, "b"), (1, "a"), (2, "b")] {
        assert_eq!(shop.ask(basket(3)).idempotency_key(key).await.unwrap(), count, "{key}");
    }
    shop.send(basket(3)).idempotency_key("a").await.unwrap();
    shop.send(basket(3)).idempotency_key("b").try_submit().unwrap().accepted().await.unwrap();
    let refused = shop.send(basket(3)).idempotency_key("c").await.unwrap_err();
    assert!(matches!(&refused, SendError::NotAccepted { reason: Refusal::TooManyKeys, .. }), "{refused:?}");
    assert_eq!(refused.into_message().unwrap().lines.len(), 3, "it is handed back");
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_a_new_key_from_another_node_waits_aside_until_there_is_room() {
    let retention = Duration::from_secs(2);
    let config = NodeConfig { idempotency_retention: retention, idle_after: Duration::from_millis(50), ..full_of(1) };
    logs::keep();
    let net = Net::new(&["full-east", "full-west"]).with("shop", &["full-west"]).config(&config);
    let start = |name| net.seat(name).builder(&Probe::new()).actor(Shop::<1>).start();
    let (east, west) = (start("full-east").await.unwrap(), start("full-west").await.unwrap());
    linked(&[&east, &west]).await;
    let (here, away) = (west.actor::<Shop<1>>("one"), east.actor::<Shop<1>>("one"));
    assert_eq!(soon("it is answered", here.ask(basket(1)).idempotency_key("a")).await.unwrap(), 1);
    let mut receipts = Vec::new();
    for key in ["b", "c"] {
        receipts.push(away.send(basket(1)).idempotency_key(key).submit().await.unwrap());
    }
    for receipt in &receipts {
        soon("it arrives", receipt.delivered()).await.unwrap();
    }
    // Others pass: without a key, and with one that is known.
    assert_eq!(soon("it passes", away.ask(basket(1))).await.unwrap(), 2);
    for receipt in receipts {
        soon("there is room", receipt.processed()).await.unwrap();
    }
    assert_eq!(logs::lines("full-west", "too many idempotency keys").len(), 1, "not one for each look");
    assert_eq!(here.query(Count).await.unwrap(), 4);
    settled(&[&east, &west]).await;
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_on_another_node_is_told_to_whoever_awaits_the_send() {
    let net = Net::new(&["east", "west"]).with("shop", &["west"]);
    let start = |name| net.seat(name).builder(&Probe::new()).actor(Shop::<1>).start();
    let (east, west) = (start("east").await.unwrap(), start("west").await.unwrap());
    linked(&[&east, &west]).await;
    let shop = east.actor::<Shop<1>>("one");
    assert_eq!(soon("it is answered", shop.ask(basket(1)).idempotency_key("k")).await.unwrap(), 1);
    soon("the same is accepted", shop.send(basket(1)).idempotency_key("k")).await.unwrap();
    let refused = soon("it is told", shop.send(basket(2)).idempotency_key("k")).await.unwrap_err();
    assert!(matches!(&refused, SendError::NotAccepted { reason: Refusal::KeyReused, .. }), "{refused:?}");
    assert_eq!(refused.into_message().unwrap().lines.len(), 2, "it is handed back");
    settled(&[&east, &west]).await;
    assert_eq!(west.dead_letters().count(), 0);
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_that_is_found_out_later_is_told_on_the_side_of_the_sender() {
    logs::keep();
    let net = Net::new(&["found-out-east", "found-out-west"]).with("shop", &["found-out-west"]);
    let start = |name| net.seat(name).builder(&Probe::new()).actor(Shop::<1>).start();
    let (east, west) = (start("found-out-east").await.unwrap(), start("found-out-west").await.unwrap());
    linked(&[&east, &west]).await;
    let shop = east.actor::<Shop<1>>("one");
    assert_eq!(soon("it is answered", shop.ask(basket(1)).idempotency_key("k")).await.unwrap(), 1);
    // Waits for nothing, so that the other node is not asked.
    let sent = shop.send(basket(3)).idempotency_key("k").try_submit().unwrap().id().to_string();
    let line = logs::line("found-out-east", "idempotency key reused", &sent).await;
    assert_eq!(line.field("peer"), "found-out-west");
    let receipt = shop.send(basket(2)).idempotency_key("k").try_submit().unwrap();
    let processed = soon("it is told", receipt.processed()).await;
    assert!(matches!(processed, Err(ProcessedError::KeyReused)), "{processed:?}");
    settled(&[&east, &west]).await;
    stop([east, west]).await;
}

/// Keeps what it is handed.
struct Depot(std::sync::Arc<tokio::sync::Mutex<Vec<Hold<Self>>>>);

impl Actor for Depot {
    const TYPE: &'static str = "depot";
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_hold::<Parcel>();
    }
}

impl HoldHandler<Parcel> for Depot {
    async fn handle(&self, _: Parcel, hold: Hold<Self>) -> Result<(), Failure> {
        self.0.lock().await.push(hold);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_key_is_held_waits_for_what_becomes_of_the_hold_and_lets_others_pass() {
    let (folder, held) = (everpost_tests::folder(), std::sync::Arc::default());
    let node = Node::builder("node", folder.path()).config(everpost_tests::config());
    let node = node.actor(Depot(std::sync::Arc::clone(&held))).start().await.unwrap();
    let depot = node.actor::<Depot>("one");
    depot.send(Parcel(1)).idempotency_key("k").await.unwrap();
    eventually("it is held", || held.try_lock().is_ok_and(|held| held.len() == 1)).await;
    let again = depot.send(Parcel(1)).idempotency_key("k").submit().await.unwrap();
    depot.send(Parcel(2)).await.unwrap();
    eventually("others pass", || held.try_lock().is_ok_and(|held| held.len() == 2)).await;
    let first = held.lock().await.remove(0);
    first.ack().await.unwrap();
    soon("it is answered as the first was", again.processed()).await.unwrap();
    assert_eq!(held.lock().await.len(), 1, "it was never handed over");
    held.lock().await.remove(0).ack().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.dead_letters().count(), 0);
    node.stop().await.unwrap();
}
