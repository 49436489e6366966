//! The load of the crash tests: streams of numbered jobs, each to a source, which draws a random token for every job it
//! handles, keeps both in its state and forwards them to a sink, which keeps them too and adds to a total. An attempt
//! that fails first does everything wrong that it can; a trace of that is a phantom.

mod client;
mod look;

use std::collections::BTreeMap;

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, NodeBuilder, QueryHandler, Turn};
use serde::{Deserialize, Serialize};

pub use self::client::{client, try_client};
pub use self::look::look;
use crate::oracle::Entry;

/// How many streams there are, each with one client.
pub const STREAMS: u32 = 12;
/// The number that only a failed attempt writes.
pub const PHANTOM: u32 = u32::MAX;

/// Whether the source gives up on this job.
#[must_use]
pub fn is_rejected(number: u32) -> bool {
    number % 37 == 5
}

fn fails_once(number: u32) -> bool {
    number % 29 == 7
}

fn panics_once(number: u32) -> bool {
    number % 43 == 11
}

fn is_asked(number: u32) -> bool {
    number.is_multiple_of(9)
}

fn is_waited_for(number: u32) -> bool {
    number % 31 == 3
}

fn is_followed_by_a_query(number: u32) -> bool {
    number.is_multiple_of(13)
}

/// What a source or sink has seen, by stream, in order.
pub type History = BTreeMap<u32, Vec<Entry>>;

/// A job; the reply is the token that was drawn.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "job", reply = u64)]
pub struct Job {
    /// The stream that it belongs to.
    pub stream: u32,
    /// Grows along the stream.
    pub number: u32,
}

/// What a source sends on.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "forward")]
pub struct Forward {
    stream: u32,
    entry: Entry,
}

/// What a sink adds to the total.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "add")]
pub struct Add {
    amount: u64,
}

/// Asks for all that was seen.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "history", reply = History)]
pub struct WholeHistory;

/// Asks how many entries a stream has, and for the newest.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "newest", reply = Option<(usize, Entry)>)]
pub struct Newest {
    stream: u32,
}

/// Asks for the total.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "sum", reply = u64)]
pub struct Sum;

/// Where jobs go.
#[derive(Debug)]
pub struct Source<const EARLY: bool>;
/// Where sources forward them.
#[derive(Debug)]
pub struct Sink<const EARLY: bool>;
/// Where sinks add the numbers.
#[derive(Debug)]
pub struct Total;

const fn delivery(early: bool) -> Delivery {
    if early { Delivery::Pipelined } else { Delivery::Committed }
}

impl<const EARLY: bool> Actor for Source<EARLY> {
    const TYPE: &'static str = if EARLY { "quick-source" } else { "source" };
    const DELIVERY: Delivery = delivery(EARLY);
    type State = History;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Job>();
        handlers.on_query::<WholeHistory>();
        handlers.on_query::<Newest>();
    }
}

impl<const EARLY: bool> Handler<Job> for Source<EARLY> {
    async fn handle(&self, history: &mut Durable<History>, job: Job, turn: &mut Turn<'_>) -> Result<u64, Failure> {
        let Job { stream, number } = job;
        let wrong = Entry { number: PHANTOM, token: 0 };
        if is_rejected(number) || (turn.attempt() == 1 && (fails_once(number) || panics_once(number))) {
            history.entry(stream).or_default().push(wrong);
            forward(turn, stream, wrong);
            assert!(!panics_once(number) || is_rejected(number), "panics once");
            return Err(if is_rejected(number) { Failure::reject("rejected") } else { Failure::retry("fails once") });
        }
        let entry = Entry { number, token: rand::random() };
        history.entry(stream).or_default().push(entry);
        forward(turn, stream, entry);
        Ok(entry.token)
    }
}

fn forward(turn: &mut Turn<'_>, stream: u32, entry: Entry) {
    let (key, message) = ((stream % 2).to_string(), Forward { stream, entry });
    if (stream / 2).is_multiple_of(2) {
        turn.send(&Sink::<false>::at(&key), message);
    } else {
        turn.send(&Sink::<true>::at(&key), message);
    }
}

impl<const EARLY: bool> Actor for Sink<EARLY> {
    const TYPE: &'static str = if EARLY { "quick-sink" } else { "sink" };
    const DELIVERY: Delivery = delivery(EARLY);
    type State = History;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Forward>();
        handlers.on_query::<WholeHistory>();
    }
}

impl<const EARLY: bool> Handler<Forward> for Sink<EARLY> {
    async fn handle(&self, history: &mut Durable<History>, it: Forward, turn: &mut Turn<'_>) -> Result<(), Failure> {
        history.entry(it.stream).or_default().push(it.entry);
        turn.send(&Total::at("main"), Add { amount: u64::from(it.entry.number) });
        Ok(())
    }
}

impl Actor for Total {
    const TYPE: &'static str = "total";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Add>();
        handlers.on_query::<Sum>();
    }
}

impl Handler<Add> for Total {
    async fn handle(&self, sum: &mut Durable<u64>, add: Add, _: &mut Turn<'_>) -> Result<(), Failure> {
        **sum += add.amount;
        Ok(())
    }
}

impl QueryHandler<Sum> for Total {
    fn answer(&self, sum: &u64, Sum: Sum) -> u64 {
        *sum
    }
}

impl<const EARLY: bool> QueryHandler<WholeHistory> for Source<EARLY> {
    fn answer(&self, history: &History, WholeHistory: WholeHistory) -> History {
        history.clone()
    }
}

impl<const EARLY: bool> QueryHandler<WholeHistory> for Sink<EARLY> {
    fn answer(&self, history: &History, WholeHistory: WholeHistory) -> History {
        history.clone()
    }
}

impl<const EARLY: bool> QueryHandler<Newest> for Source<EARLY> {
    fn answer(&self, history: &History, Newest { stream }: Newest) -> Option<(usize, Entry)> {
        let entries = history.get(&stream)?;
        entries.last().map(|newest| (entries.len(), *newest))
    }
}

/// Adds the actors of the load to a node.
pub fn actors(node: NodeBuilder) -> NodeBuilder {
    node.actor(Source::<false>).actor(Source::<true>).actor(Sink::<false>).actor(Sink::<true>).actor(Total)
}

/// The key of a stream's source; several streams share one.
#[must_use]
pub fn source_of(stream: u32) -> String {
    (stream / 2 % 3).to_string()
}
