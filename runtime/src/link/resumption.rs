//! Each side tells the other where to go on, once everything that it has received is durable.

use std::sync::PoisonError;

use bytes::BytesMut;
use everpost_persistence::{Class, Key, Partition, Position, StoreId};
use everpost_transport::hello::Resume;
use everpost_transport::link::{Flagged, Lane, Sequence, Terms};
use everpost_transport::{ControlWriter, Frame};
use rustc_hash::FxHashMap;

use super::introduction::{Introduced, next_frame};
use super::{Ended, Note};
use crate::cluster::{CURSOR_BYTES_MAX, Inquiry, Peer, encode_cursor};
use crate::core::{Core, Producer};
use crate::gate::NodeEnded;

/// How many messages are taken out of the outbox by one submission.
const SETTLED_MAX: usize = 4096;

/// Messages that a peer has on disk, so that this store need not keep them; in the order of each lane.
pub(super) type Settled = Vec<(Lane, Sequence)>;

/// Tells the peer how far its lanes have come here, and goes on with those to it where it says.
pub(super) async fn resume(core: &Core, credit: u64, introduced: &mut Introduced) -> Result<(), Ended> {
    let Introduced { streams, frames, producer, lines, message_bytes_max, .. } = introduced;
    say_where(core, credit, producer, &mut streams.control_out).await?;
    let Frame::Resume(theirs) = next_frame(&mut streams.control_in, frames).await? else {
        return Err(Ended::Protocol("it did not say where to go on".to_owned()));
    };
    let Resume { credit, lanes } = theirs;
    let terms = Terms { lines: lines.clone(), credit, message_bytes_max: *message_bytes_max };
    let settled = go_on(core, &producer.peer, producer.store, lanes, terms)?;
    core.settle(producer.store, settled).await?;
    Ok(())
}

async fn say_where(core: &Core, credit: u64, producer: &Producer, control: &mut ControlWriter) -> Result<(), Ended> {
    let lock = || producer.receiving.lock().unwrap_or_else(PoisonError::into_inner);
    // A cursor that is told counts as an acknowledgement.
    core.gate.until(|| lock().is_settled(core.store.durable().0)).await?;
    let resume = Resume { credit, lanes: lock().cursors().collect() };
    let mut buffer = BytesMut::new();
    Frame::Resume(resume).encode(&mut buffer).map_err(|error| Ended::Protocol(error.to_string()))?;
    Ok(control.write(&mut buffer).await?)
}

fn go_on(
    core: &Core,
    peer: &Peer,
    store: StoreId,
    lanes: Vec<(Lane, Sequence)>,
    terms: Terms,
) -> Result<Settled, Ended> {
    let cursors: FxHashMap<Lane, Sequence> = lanes.into_iter().collect();
    let mut settled = Settled::new();
    peer.begin();
    let mut outgoing = peer.outgoing();
    outgoing.resume(store, &cursors, terms, |lane, sequence| settled.push((lane, sequence)))?;
    for Inquiry { id, address, lane, position, reply } in peer.pending.inquiries() {
        if outgoing.flag(lane, position, 0) == Flagged::Acknowledged {
            peer.tell(Note::Inquiry { id: id.0, destination: address.to_string(), reply });
        }
    }
    tracing::info!(node = %core.name, peer = %peer.name, owed = outgoing.owed().messages, event = "link up");
    drop(outgoing);
    peer.departures.notify_one();
    peer.make_room();
    Ok(settled)
}

impl Core {
    /// Takes what a peer has out of the outbox, and notes how far its store has come.
    pub(super) async fn settle(&self, receiver: StoreId, settled: Settled) -> Result<(), NodeEnded> {
        for messages in settled.chunks(SETTLED_MAX) {
            let bytes = messages.len() * CURSOR_BYTES_MAX;
            let Ok(permit) = self.store.reserve(Class::Turn { grows: false }, bytes).await else {
                return Err(self.gate.ended());
            };
            // The two commit together: the outbox neither holds what is noted as acknowledged, nor lacks what is not.
            let progress: FxHashMap<Lane, Sequence> = messages.iter().copied().collect();
            self.store.submit(permit, |stage| {
                for (lane, sequence) in messages {
                    let (partition, position) = (Partition(lane.partition), Position(sequence.0));
                    stage.delete(Key::Outbox { partition, position });
                }
                for (Lane { line, partition }, through) in progress {
                    let key = Key::Acknowledged { partition: Partition(partition), receiver, line };
                    stage.put(key, encode_cursor(through));
                }
            });
        }
        Ok(())
    }
}
