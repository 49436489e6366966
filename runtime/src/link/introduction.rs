//! The beginning of a conversation: each side says who it is, and judges the other. It changes nothing, so it may run
//! beside a conversation that goes on until the newcomer has proved itself.

use crate::cluster::introduced::Introduced;
use crate::commit::{Record, Transaction};
use crate::tables;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use everpost_persistence::ShardId;
use everpost_transport::frame::Frame;
use everpost_transport::hello::{
    Clocks, EARLIER_RUNS_MAX, EarlierRun, Hello, PROTOCOL_VERSION, ReceiverType, Refusal, Run,
};
use everpost_transport::link::Sequence;
use everpost_transport::{CloseCode, Connection, ControlReader, Streams};
use rustc_hash::FxHashSet;

use super::Links;
use crate::base::clock::{ClockSkew, Micros, Steady, Timelines};
use crate::base::ended::NodeEnded;
use crate::cluster::ended::ArrivalError;
use crate::cluster::ended::Ended;
use crate::cluster::producer::Producer;
use crate::cluster::{KnownStores, Peer, encode_runs, receiver_type_of};
use crate::shard::Shard;

/// One is needed; more when packets are lost.
const ROUND_TRIPS: u32 = 4;

/// As [`introduce`], within the time that a handshake may take, beside what the path takes: above QUIC a peer can hang
/// although its connection lives. A peer that is refused is told why.
pub(crate) async fn introduce_in_time(
    links: &Links,
    peer: &Arc<Peer>,
    connection: Connection,
) -> Result<Introduced, Ended> {
    let shard = &links.shard;
    // Streams that are dropped close the connection: they must outlive the word on why.
    let mut streams = connection.open();
    let introduction = introduce(shard, peer, connection.peer(), &mut streams);
    let late = |_| Err(Ended::Protocol("it did not introduce itself in time".to_owned()));
    let within = links.config.handshake_cap.saturating_add(connection.rtt().saturating_mul(ROUND_TRIPS));
    match tokio::time::timeout(within, introduction).await.unwrap_or_else(late) {
        Ok(Introduction { frames, producer, receiver_types, hello }) => {
            Ok(Introduced { connection, streams, frames, producer, receiver_types, hello })
        }
        Err(ended) => Err(refuse(&connection, ended)),
    }
}

/// What was said at the beginning.
struct Introduction {
    frames: VecDeque<Frame>,
    producer: Producer,
    receiver_types: FxHashSet<u64>,
    hello: Hello,
}

/// Says who this node is, and hears who the peer is.
async fn introduce(
    shard: &Shard,
    peer: &Arc<Peer>,
    certified: &str,
    streams: &mut Streams,
) -> Result<Introduction, Ended> {
    let ours = hello(shard);
    let mut buffer = BytesMut::new();
    Frame::Hello(ours).encode(&mut buffer).map_err(|error| Ended::Protocol(error.to_string()))?;
    streams.control_out.write(&mut buffer).await?;
    let mut frames = VecDeque::new();
    let Frame::Hello(hello) = next_frame(&mut streams.control_in, &mut frames).await? else {
        return Err(Ended::Protocol("it did not introduce itself first".to_owned()));
    };
    let now = shard.clock.now();
    let store = ShardId(hello.run.shard);
    let receiving = shard.cluster.producer(store);
    let timelines = Timelines::new(now.steady, Steady(hello.clocks.steady));
    let producer = Producer { peer: Arc::clone(peer), store, receiving, timelines };
    judge(shard, certified, &hello, &producer, &shard.cluster.known_stores())?;
    let skew = ClockSkew::of(now.wall, Micros(hello.clocks.wall));
    peer.set_skew(skew);
    peer.alarms().clocks(&shard.name, &peer.name, skew);
    let (receiver_types, differing) = shared_receiver_types(shard, &hello.receiver_types);
    peer.alarms().placement(&shard.name, &peer.name, &differing);
    Ok(Introduction { frames, producer, receiver_types, hello })
}

/// The next frame of the control stream.
pub(crate) async fn next_frame(reader: &mut ControlReader, frames: &mut VecDeque<Frame>) -> Result<Frame, Ended> {
    loop {
        if let Some(frame) = frames.pop_front() {
            return Ok(frame);
        }
        let mut more = Vec::new();
        reader.next(&mut more).await?;
        frames.extend(more);
    }
}

/// Closes a connection, and says why.
pub(crate) fn refuse(connection: &Connection, ended: Ended) -> Ended {
    let code = match &ended {
        Ended::Arrival(ArrivalError::Store(_)) | Ended::Outbox(_) => CloseCode::Abandoned,
        Ended::Protocol(_) | Ended::Read(_) | Ended::Arrival(_) => CloseCode::Protocol,
        Ended::Superseded => CloseCode::Superseded,
        Ended::Node(_) => CloseCode::Stopping,
        Ended::Refused(_) | Ended::Stores(_) | Ended::NameTaken { .. } | Ended::Closed(_) => CloseCode::Refused,
    };
    connection.close(code, &ended.to_string());
    ended
}

/// Whether a peer may be spoken with, by what is known now.
pub(crate) fn judge(
    shard: &Shard,
    certified: &str,
    theirs: &Hello,
    producer: &Producer,
    known_stores: &KnownStores,
) -> Result<(), Refusal> {
    let newest = producer.receiving.lock().unwrap_or_else(PoisonError::into_inner).newest();
    hello(shard).check(theirs, certified, known_stores.get(theirs.run.shard), newest)
}

fn hello(shard: &Shard) -> Hello {
    let (epoch, now) = (shard.store.epoch(), shard.clock.now());
    let mut receiver_types: Vec<ReceiverType> =
        shard.actor_types.keys().map(|actor_type| shard.cluster.receiver_type(actor_type)).collect();
    receiver_types.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster: shard.cluster.name.clone(),
        node: shard.name.to_string(),
        partitions: shard.store.partitions().get(),
        run: Run {
            shard: shard.store.id().0,
            counter: epoch.counter,
            nonce: epoch.nonce,
            first: Sequence(shard.first.0),
        },
        message_bytes_max: shard.config.message_bytes_max as u64,
        receiver_types,
        earlier: shard.cluster.earlier_runs().to_vec(),
        clocks: Clocks { steady: now.steady.0, wall: now.wall.0 },
    }
}

/// Notes this run of the store durably, before anybody hears of it: from now on the store can tell that it was through
/// it.
pub(crate) async fn note_run(shard: &Shard) -> Result<(), NodeEnded> {
    let epoch = shard.store.epoch();
    let run = EarlierRun { counter: epoch.counter, nonce: epoch.nonce, first: Sequence(shard.first.0) };
    let earlier = shard.cluster.earlier_runs();
    let runs = [&earlier[(earlier.len() + 1).saturating_sub(EARLIER_RUNS_MAX)..], &[run]].concat();
    let record = Record::put(tables::peer(shard.store.id()), encode_runs(&runs));
    let transaction = Transaction::upkeep(shard).with(record);
    let permit = transaction.reserve().await.map_err(|_| shard.gate.ended())?;
    shard.gate.durable(transaction.commit_in_any_case(permit).ticket).await
}

/// The receiver types that the peer takes and places as this node does, and the types of the others, whose messages
/// wait.
fn shared_receiver_types<'l>(shard: &Shard, theirs: &'l [ReceiverType]) -> (FxHashSet<u64>, Vec<&'l str>) {
    let (shared, differing): (Vec<_>, Vec<_>) =
        theirs.iter().partition(|receiver_type| shard.cluster.receiver_type(&receiver_type.name) == **receiver_type);
    let shared = shared.into_iter().map(|receiver_type| receiver_type_of(&receiver_type.name)).collect();
    (shared, differing.into_iter().map(|receiver_type| receiver_type.name.as_str()).collect())
}
