//! The actor that is measured: it counts what it gets, and looks whether that is in order.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;

use crate::GROUP;
use crate::clock::processor_time;

/// How many bytes a parcel has; the first eight are its number among the parcels to its actor.
pub(crate) const PAYLOAD_BYTES: usize = 128;

#[derive(RactorClusterMessage)]
pub(crate) enum ToCounter {
    Parcel(Vec<u8>),
    /// The same with an answer: how many it has got.
    #[rpc]
    Call(Vec<u8>, RpcReplyPort<u64>),
    /// How many parcels it has got; an error if there was one missing, repeated or out of order.
    #[rpc]
    Tally(RpcReplyPort<u64>),
    /// Time in nanoseconds that its process has taken of the processors.
    #[rpc]
    Processor(RpcReplyPort<u64>),
}

pub(crate) struct Counter;

pub(crate) fn parcel(number: u64) -> Vec<u8> {
    let mut payload = vec![0x5a; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

impl Actor for Counter {
    type Msg = ToCounter;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ToCounter>, (): ()) -> Result<u64, ActorProcessingErr> {
        ractor::pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<ToCounter>,
        message: ToCounter,
        got: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ToCounter::Parcel(payload) => take(got, &payload)?,
            ToCounter::Call(payload, reply) => {
                take(got, &payload)?;
                reply.send(*got)?;
            }
            ToCounter::Tally(reply) => reply.send(*got)?,
            ToCounter::Processor(reply) => {
                reply.send(u64::try_from(processor_time().as_nanos()).unwrap_or(u64::MAX))?;
            }
        }
        Ok(())
    }
}

fn take(got: &mut u64, payload: &[u8]) -> Result<(), ActorProcessingErr> {
    let number = payload.first_chunk().map(|number| u64::from_le_bytes(*number));
    if payload.len() != PAYLOAD_BYTES || number != Some(*got) {
        return Err(format!("parcel {number:?} came after {got} parcels").into());
    }
    *got += 1;
    Ok(())
}
