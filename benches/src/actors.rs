//! The actors that are measured: they count what reaches them, so that a run that loses, repeats or reorders a message
//! is found and fails instead of being fast.

use std::sync::Arc;

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, QueryHandler, State, Turn};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// The payload of every message in bytes.
pub(crate) const PAYLOAD_BYTES: usize = 128;

/// 128 bytes on their way; the first eight are its number among the messages to its actor.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "parcel")]
pub(crate) struct Parcel {
    #[serde(with = "serde_bytes")]
    payload: [u8; PAYLOAD_BYTES],
}

/// Asks an actor what it has got.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "tally_of", reply = Tally)]
pub(crate) struct TallyOf;

/// What an actor has got; all of it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(name = "tally")]
pub(crate) struct Tally {
    pub(crate) parcels: u64,
    /// Parcels that did not have the number that was next.
    pub(crate) out_of_order: u64,
}

impl Parcel {
    pub(crate) fn new(number: u64) -> Self {
        let mut payload = [0x5a; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        Self { payload }
    }

    fn number(&self) -> u64 {
        let (number, _) = self.payload.split_first_chunk().expect("a payload has 128 bytes");
        u64::from_le_bytes(*number)
    }
}

impl Tally {
    fn take(&mut self, parcel: &Parcel) {
        if parcel.number() != self.parcels {
            self.out_of_order += 1;
        }
        self.parcels += 1;
    }
}

/// Where parcels can be sent and counted.
pub(crate) trait Counts: Handler<Parcel> + QueryHandler<TallyOf> {}

/// Counts what is durable.
pub(crate) struct Committed;

impl Actor for Committed {
    const TYPE: &'static str = "committed";
    const DELIVERY: Delivery = Delivery::Committed;
    type State = Tally;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Parcel>();
        handlers.on_query::<TallyOf>();
    }
}

impl Handler<Parcel> for Committed {
    async fn handle(&self, tally: &mut Durable<Tally>, parcel: Parcel, _: &mut Turn<'_>) -> Result<(), Failure> {
        tally.take(&parcel);
        Ok(())
    }
}

impl QueryHandler<TallyOf> for Committed {
    fn answer(&self, tally: &Tally, TallyOf: TallyOf) -> Tally {
        *tally
    }
}

impl Counts for Committed {}

/// Counts at once.
pub(crate) struct Pipelined;

impl Actor for Pipelined {
    const TYPE: &'static str = "pipelined";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = Tally;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Parcel>();
        handlers.on_query::<TallyOf>();
    }
}

impl Handler<Parcel> for Pipelined {
    async fn handle(&self, tally: &mut Durable<Tally>, parcel: Parcel, _: &mut Turn<'_>) -> Result<(), Failure> {
        tally.take(&parcel);
        Ok(())
    }
}

impl QueryHandler<TallyOf> for Pipelined {
    fn answer(&self, tally: &Tally, TallyOf: TallyOf) -> Tally {
        *tally
    }
}

impl Counts for Pipelined {}

/// Handles nothing until it is let: what is sent to it waits.
pub(crate) struct Waiting(pub(crate) Arc<Semaphore>);

impl Actor for Waiting {
    const TYPE: &'static str = "waiting";
    type State = Tally;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Parcel>();
    }
}

impl Handler<Parcel> for Waiting {
    async fn handle(&self, tally: &mut Durable<Tally>, parcel: Parcel, _: &mut Turn<'_>) -> Result<(), Failure> {
        let _open = self.0.acquire().await.map_err(Failure::retry)?;
        tally.take(&parcel);
        Ok(())
    }
}
