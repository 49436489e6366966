//! From the outbox to the wire: what is durable is written to the data streams, many messages at a time.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::BytesMut;
use everpost_persistence::{Key, Partition, Position};
use everpost_transport::DataWriter;
use everpost_transport::frame::{encode_data, encode_volatile};
use everpost_transport::link::{Lane, Next, Sequence};
use tokio::time::Instant;

use crate::base::alarm::Said;
use crate::cluster::ended::Ended;
use crate::cluster::{Outgoing, Peer};
use crate::shard::{Release, Shard};
use crate::tables;

/// How many bytes are gathered before they are handed to the connection.
const BATCH_BYTES: usize = 256 << 10;

/// Why gathering has ended.
enum Gathered {
    /// There may be more.
    Full,
    /// These bodies must be read first.
    Load(Lane, Vec<Sequence>),
    /// There is nothing more until the link is rung.
    All,
}

/// Sends what may leave, for as long as the connection lives.
pub(super) async fn depart(shard: &Shard, peer: &Arc<Peer>, writer: &mut DataWriter) -> Result<Infallible, Ended> {
    let mut buffers = vec![BytesMut::new(); writer.streams()];
    loop {
        let gathered = gather(shard, peer, &mut buffers);
        for (stream, buffer) in buffers.iter_mut().enumerate() {
            if !buffer.is_empty() {
                writer.write(stream, buffer).await?;
            }
        }
        match gathered {
            Gathered::Full => {}
            Gathered::Load(lane, sequences) => load(shard, peer, lane, sequences).await?,
            // A ring that came meanwhile is kept, so nothing is missed.
            Gathered::All => peer.departures.notified().await,
        }
    }
}

/// Encodes what may leave now, each lane on its stream.
fn gather(shard: &Shard, peer: &Arc<Peer>, buffers: &mut [BytesMut]) -> Gathered {
    let durable = shard.store.durable();
    let mut bytes = 0;
    let mut outgoing = peer.outgoing();
    while bytes < BATCH_BYTES {
        let (partition, before) = if let Some((partition, envelope)) = outgoing.pop_volatile() {
            let buffer = stream_of(buffers, partition);
            let before = buffer.len();
            encode_volatile(buffer, &envelope);
            (partition, before)
        } else {
            match outgoing.next(durable) {
                Next::Send(data) => {
                    let buffer = stream_of(buffers, data.lane.partition);
                    let before = buffer.len();
                    encode_data(buffer, &data);
                    (data.lane.partition, before)
                }
                Next::Load(lane, sequences) => return Gathered::Load(lane, sequences),
                Next::TooLarge { lane, sequence, bytes } => {
                    too_large(shard, peer, lane, sequence, bytes);
                    continue;
                }
                Next::Nothing => {
                    if let Some(position) = outgoing.next_commit() {
                        ring_when_durable(shard, &mut outgoing, peer, position);
                    }
                    return Gathered::All;
                }
            }
        };
        bytes += stream_of(buffers, partition).len() - before;
    }
    Gathered::Full
}

/// Rings the link when what it waits for is durable.
fn ring_when_durable(shard: &Shard, outgoing: &mut Outgoing, peer: &Arc<Peer>, position: Position) {
    if outgoing.gated {
        return;
    }
    outgoing.gated = true;
    if shard.gate.hold(position, Release::Depart(Arc::clone(peer))).is_some() {
        outgoing.gated = false;
        peer.departures.notify_one();
    }
}

/// The peer says that it does not take a message.
pub(super) fn stopped(shard: &Shard, peer: &Arc<Peer>, lane: Lane, sequence: Sequence, why: &str) {
    if !peer.outgoing().stopped(lane, sequence) {
        return;
    }
    // What was under way behind it has made room for other lanes.
    peer.departures.notify_one();
    if let Some(Said { times, lasts }) = peer.alarms().stopped.raise(lane, Instant::now()) {
        tracing::error!(
            node = %shard.name, peer = %peer.name, %lane, seq = sequence.0, why, times, ?lasts,
            event = "message not taken by the peer",
            "it and what follows it in its lane wait, everything else goes on; start a build there that takes it"
        );
    }
    let reason = format!("node `{}` does not take it: {why}", peer.name);
    peer.pending.undeliverable(lane, Position(sequence.0), &reason);
}

/// The peer does not take a message as large as this one. Its lane waits; everything else goes on.
fn too_large(shard: &Shard, peer: &Arc<Peer>, lane: Lane, sequence: Sequence, bytes: usize) {
    let bytes_max = peer.message_bytes_max();
    let said = peer.alarms().too_large.raise(lane, Instant::now());
    if let Some(Said { times, lasts }) = said {
        tracing::error!(
            node = %shard.name, peer = %peer.name, %lane, seq = sequence.0, bytes, bytes_max, times, ?lasts,
            event = "message too large for the peer",
            "it and what follows it in its lane wait, everything else goes on; raise `message_bytes_max` there, and \
             what its store takes"
        );
    }
    let node = &peer.name;
    let reason = format!("node `{node}` takes messages of {bytes_max} bytes, and this one has {bytes}");
    peer.pending.undeliverable(lane, Position(sequence.0), &reason);
}

fn stream_of(buffers: &mut [BytesMut], partition: u16) -> &mut BytesMut {
    let stream = usize::from(partition) % buffers.len();
    &mut buffers[stream]
}

/// Reads bodies from the store, off the workers: it may wait for the disk.
async fn load(shard: &Shard, peer: &Peer, lane: Lane, sequences: Vec<Sequence>) -> Result<(), Ended> {
    let key = |sequence: &Sequence| {
        let (partition, position) = (Partition(lane.partition), Position(sequence.0));
        tables::outbox(partition, position)
    };
    let keys: Vec<Key> = sequences.iter().map(key).collect();
    let bodies = match shard.store.read_all(keys).await {
        Ok(bodies) => bodies,
        Err(error) => return Err(Ended::Outbox(error)),
    };
    // What was acknowledged meanwhile is not there any more.
    let bodies = sequences.into_iter().zip(bodies).filter_map(|(sequence, body)| Some((sequence, body?)));
    peer.outgoing().loaded(lane, bodies);
    Ok(())
}
