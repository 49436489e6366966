//! From the wire to the store: what arrived together, or while the store was busy with what came before, is stored
//! together.

use std::convert::Infallible;

use everpost_transport::DataReader;
use everpost_transport::frame::Frame;
use everpost_transport::link::{Lane, Sequence};
use rustc_hash::FxHashSet;
use tokio::time::Instant;

use super::arriving;
use super::rules::gathering::Gathering;
use crate::base::alarm::Said;
use crate::cluster::ended::ArrivalError;
use crate::cluster::ended::Ended;
use crate::cluster::note::Note;
use crate::cluster::producer::Producer;
use crate::commit::Arriving;
use crate::shard::Shard;

/// How many bytes of a reason are told to the peer.
const WHY_BYTES_MAX: usize = 256;

/// How many lanes of a conversation may wait for a message to be taken: more than there are.
const STOPPED_MAX: usize = 65_536;

/// Stores what arrives, for as long as the connection lives.
pub(super) async fn arrive(shard: &Shard, from: &Producer, reader: &mut DataReader) -> Result<Infallible, Ended> {
    let mut frames = Vec::new();
    let mut arrived = Arrived::new(shard, from);
    let mut stopped = FxHashSet::default();
    loop {
        let mut ended = arrived.more(reader, &mut frames).await.err();
        for frame in frames.drain(..) {
            match read(shard, from, &mut stopped, frame) {
                Ok(None) => {}
                Ok(Some(message)) => arrived.add(message).await?,
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            }
        }
        // What came before the end counts.
        if ended.is_some() || arrived.gathering.is_due(shard.store.durable()) {
            arrived.submit().await?;
        }
        if let Some(ended) = ended {
            return Err(ended);
        }
    }
}

/// What has arrived and was not submitted yet. Nothing of it was acknowledged: if the conversation ends it comes again.
struct Arrived<'a> {
    shard: &'a Shard,
    from: &'a Producer,
    messages: Vec<Arriving>,
    gathering: Gathering,
}

impl<'a> Arrived<'a> {
    fn new(shard: &'a Shard, from: &'a Producer) -> Self {
        // Several submissions fit the store's queue, however small that is. A single message always does: this node has
        // told the peer how large one may be.
        let bytes_max = shard.config.store.submission_bytes_max() / 4;
        Self { shard, from, messages: Vec::new(), gathering: Gathering::new(bytes_max) }
    }

    /// Waits until more has arrived, or what was gathered need not wait any longer.
    async fn more(&self, reader: &mut DataReader, frames: &mut Vec<Frame>) -> Result<(), Ended> {
        let Self { shard, from, gathering, .. } = self;
        let more = async {
            // Whoever does not read what became of its messages sends no more of them. What it is told leaves on
            // another stream, which it reads whatever becomes of this one.
            from.peer.has_caught_up().await;
            reader.next(frames).await
        };
        match gathering.waits_for() {
            None => more.await?,
            Some(under_way) => tokio::select! {
                biased;
                read = more => read?,
                durable = shard.gate.durable(under_way) => durable?,
            },
        }
        Ok(())
    }

    async fn add(&mut self, message: Arriving) -> Result<(), Ended> {
        if !self.gathering.has_room_for(message.bytes()) {
            self.submit().await?;
        }
        self.gathering.add(message.bytes());
        self.messages.push(message);
        Ok(())
    }

    async fn submit(&mut self) -> Result<(), Ended> {
        let ticket = arriving::arrive(self.shard, self.from, &mut self.messages).await?;
        self.gathering.submitted(ticket);
        Ok(())
    }
}

/// Reads a message; none that is not taken. `stopped` are the lanes of this conversation that wait for such a one.
fn read(
    shard: &Shard,
    from: &Producer,
    stopped: &mut FxHashSet<Lane>,
    frame: Frame,
) -> Result<Option<Arriving>, Ended> {
    match frame {
        Frame::Data(data) => {
            let (lane, sequence) = (data.lane, data.sequence);
            if stopped.contains(&lane) {
                return Ok(None);
            }
            match arriving::arriving(shard, from, data) {
                Err(error) if error.stops_its_lane_only() => {
                    if stopped.len() >= STOPPED_MAX {
                        return Err(Ended::Protocol(format!(
                            "it has {STOPPED_MAX} lanes that nobody here takes, and more"
                        )));
                    }
                    stopped.insert(lane);
                    stop(shard, from, lane, sequence, &error);
                    Ok(None)
                }
                arriving => Ok(Some(arriving?)),
            }
        }
        Frame::Volatile(envelope) => match arriving::arriving_volatile(shard, from, envelope) {
            // As volatile messages may be.
            Err(error) if error.stops_its_lane_only() => {
                tracing::debug!(
                    node = %shard.name, peer = %from.peer.name, %error, event = "volatile message dropped",
                    "it is not taken here"
                );
                Ok(None)
            }
            arriving => Ok(Some(arriving?)),
        },
        _ => Err(Ended::Protocol("a frame of another kind came on a data stream".to_owned())),
    }
}

/// Tells the peer, and the log, that a message is not taken.
fn stop(shard: &Shard, from: &Producer, lane: Lane, sequence: Sequence, error: &ArrivalError) {
    let peer = &from.peer;
    if let Some(Said { times, lasts }) = peer.alarms().stopped.raise(lane, Instant::now()) {
        tracing::error!(
            node = %shard.name, peer = %peer.name, %lane, seq = sequence.0, %error, times, ?lasts,
            event = "message not taken",
            "it and what follows it in its lane wait at the peer, everything else goes on; start a build here that \
             takes it"
        );
    }
    let Lane { receiver_type, partition } = lane;
    // An address may be long, and a note has to fit what the peer takes.
    let mut why = error.to_string();
    why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
    peer.tell(Note::Stopped { receiver_type, partition, sequence: sequence.0, why });
}

impl From<ArrivalError> for Ended {
    fn from(error: ArrivalError) -> Self {
        Self::Arrival(error)
    }
}
