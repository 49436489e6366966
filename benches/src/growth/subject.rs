//! The actors that are measured. Each message to an actor has a number, and one that is not next is rejected: a run
//! that loses, repeats or reorders a message has dead letters, and fails instead of being fast.

use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, QueryHandler, State, Turn};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The least bytes of a message and of a state: their number.
const NUMBER_BYTES: usize = size_of::<u64>();

/// What every series sends, unless the size of messages is what grows.
pub(super) const PAYLOAD_BYTES: u64 = 128;

/// Bytes on their way; the first eight are its number among the messages to its actor. The reply is the next number.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "push", reply = u64)]
pub(super) struct Push {
    payload: ByteBuf,
}

/// Makes the state of an actor larger or smaller.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "resize")]
pub(super) struct Resize {
    pub(super) bytes: u64,
}

/// Asks for the number of the next message, which is how many there were.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "next_number", reply = u64)]
pub(super) struct NextNumber;

/// Nothing but a sign of life.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "ping", reply = u64)]
pub(super) struct Ping;

/// Lets a turn send so many messages.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "spread", reply = u64)]
pub(super) struct Spread {
    pub(super) sends: u64,
}

/// A state of any size; the first eight bytes are the number of the message that is next.
#[derive(Serialize, Deserialize, State)]
#[state(name = "ballast")]
pub(super) struct Ballast {
    bytes: ByteBuf,
}

impl Push {
    pub(super) fn new(number: u64, payload_bytes: u64) -> Self {
        let mut payload = vec![0x5a; usize_of(payload_bytes)];
        write_number(&mut payload, number);
        Self { payload: ByteBuf::from(payload) }
    }
}

impl Default for Ballast {
    fn default() -> Self {
        Self { bytes: ByteBuf::from(vec![0; NUMBER_BYTES]) }
    }
}

impl Ballast {
    fn next(&self) -> u64 {
        read_number(&self.bytes)
    }

    /// Counts a message that has this number, or any; the number after it.
    fn count(&mut self, number: Option<u64>) -> Result<u64, Failure> {
        let next = self.next();
        if number.is_some_and(|number| number != next) {
            return Err(Failure::reject(format!("message {number:?} came where {next} was next")));
        }
        write_number(&mut self.bytes, next + 1);
        Ok(next + 1)
    }
}

/// Takes what is next.
pub(super) struct Subject;

impl Actor for Subject {
    const TYPE: &'static str = "subject";
    type State = Ballast;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Push>();
        handlers.on::<Resize>();
        handlers.on_query::<NextNumber>();
    }
}

impl Handler<Push> for Subject {
    async fn handle(&self, state: &mut Durable<Ballast>, push: Push, _: &mut Turn<'_>) -> Result<u64, Failure> {
        state.count(Some(read_number(&push.payload)))
    }
}

impl Handler<Resize> for Subject {
    async fn handle(&self, state: &mut Durable<Ballast>, resize: Resize, _: &mut Turn<'_>) -> Result<(), Failure> {
        state.bytes.resize(usize_of(resize.bytes), 0);
        Ok(())
    }
}

impl QueryHandler<NextNumber> for Subject {
    fn answer(&self, state: &Ballast, NextNumber: NextNumber) -> u64 {
        state.next()
    }
}

/// Is paused: what is sent to it waits.
pub(super) struct Parked;

impl Actor for Parked {
    const TYPE: &'static str = "parked";
    type State = Ballast;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Push>();
    }
}

impl Handler<Push> for Parked {
    async fn handle(&self, state: &mut Durable<Ballast>, push: Push, _: &mut Turn<'_>) -> Result<u64, Failure> {
        state.count(Some(read_number(&push.payload)))
    }
}

/// Gets an ask now and then while others are under load.
pub(super) struct Onlooker;

impl Actor for Onlooker {
    const TYPE: &'static str = "onlooker";
    type State = Ballast;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Ping>();
    }
}

impl Handler<Ping> for Onlooker {
    async fn handle(&self, state: &mut Durable<Ballast>, _: Ping, _: &mut Turn<'_>) -> Result<u64, Failure> {
        state.count(None)
    }
}

/// Sends to many in one turn.
pub(super) struct Spreader;

impl Actor for Spreader {
    const TYPE: &'static str = "spreader";
    type State = Ballast;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Spread>();
    }
}

/// How many actors the sends of turns go to, one after the other.
const SINKS: u64 = 1_000;

impl Handler<Spread> for Spreader {
    async fn handle(&self, state: &mut Durable<Ballast>, spread: Spread, turn: &mut Turn<'_>) -> Result<u64, Failure> {
        let number = state.count(None)?;
        for send in 0..spread.sends {
            let sink = Sink::at(&((number * spread.sends + send) % SINKS).to_string());
            turn.send(&sink, Push::new(send, PAYLOAD_BYTES));
        }
        Ok(number)
    }
}

/// Gets messages of several turns, which have no one order.
pub(super) struct Sink;

impl Actor for Sink {
    const TYPE: &'static str = "sink";
    type State = Ballast;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Push>();
    }
}

impl Handler<Push> for Sink {
    async fn handle(&self, state: &mut Durable<Ballast>, _: Push, _: &mut Turn<'_>) -> Result<u64, Failure> {
        state.count(None)
    }
}

fn read_number(bytes: &[u8]) -> u64 {
    let (number, _) = bytes.split_first_chunk().expect("neither a message nor a state has less than a number");
    u64::from_le_bytes(*number)
}

fn write_number(bytes: &mut [u8], number: u64) {
    bytes[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("what fits a message fits the memory")
}
