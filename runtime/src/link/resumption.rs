//! Each side tells the other where to go on, once everything that it has received is durable.

use std::sync::PoisonError;

use bytes::BytesMut;
use everpost_persistence::{Class, Key, Partition, Permit, Position, StoreId};
use everpost_transport::hello::{Acquaintance, Hello, Resume, Run};
use everpost_transport::link::{Flagged, Lane, ResumeError, Sequence, Terms};
use everpost_transport::{ControlWriter, Frame};
use rustc_hash::FxHashMap;

use super::introduction::{Introduced, next_frame};
use super::{Ended, Note};
use crate::cluster::{CURSOR_BYTES_MAX, Inquiry, encode_acquaintance, encode_cursor};
use crate::core::{Core, Producer};
use crate::gate::NodeEnded;

/// Tells the peer how far its lanes have come here, and goes on with those to it where it says.
pub(super) async fn resume(core: &Core, credit: u64, introduced: &mut Introduced) -> Result<(), Ended> {
    let Introduced { streams, frames, producer, lines, hello, .. } = introduced;
    say_where(core, credit, producer, &mut streams.control_out).await?;
    let Frame::Resume(theirs) = next_frame(&mut streams.control_in, frames).await? else {
        return Err(Ended::Protocol("it did not say where to go on".to_owned()));
    };
    let Resume { credit, lanes } = theirs;
    let terms = Terms { lines: lines.clone(), credit, message_bytes_max: hello.message_bytes_max };
    let permit = core.room_to_settle(lanes.len()).await?;
    go_on(core, permit, producer, lanes, terms)?;
    // Not before: an old copy of a store that was opened often enough is found out by where its lanes are, and must not be
    // remembered in place of the true one.
    Ok(core.get_acquainted(hello).await?)
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
    permit: Permit<'_>,
    producer: &Producer,
    lanes: Vec<(Lane, Sequence)>,
    terms: Terms,
) -> Result<(), ResumeError> {
    let cursors: FxHashMap<Lane, Sequence> = lanes.into_iter().collect();
    let mut settled = Vec::new();
    let peer = &producer.peer;
    peer.begin();
    let mut outgoing = peer.outgoing();
    outgoing.resume(producer.store, &cursors, terms, |lane, sequence| settled.push((lane, sequence)))?;
    for Inquiry { id, address, lane, position, reply } in peer.pending.inquiries() {
        if outgoing.flag(lane, position, 0) == Flagged::Acknowledged {
            peer.tell(Note::Inquiry { id: id.0, destination: address.to_string(), reply });
        }
    }
    tracing::info!(node = %core.name, peer = %peer.name, owed = outgoing.owed().messages, event = "link up");
    if !settled.is_empty() {
        core.settle(permit, producer.store, &settled);
    }
    drop(outgoing);
    peer.departures.notify_one();
    peer.make_room();
    Ok(())
}

impl Core {
    /// Remembers the peer's store and run, durably: an older copy of the store is known as such from here on.
    async fn get_acquainted(&self, hello: &Hello) -> Result<(), NodeEnded> {
        let Run { store, counter, nonce, .. } = hello.run;
        let known = self.cluster.acquaintance(store);
        let node = hello.node.clone();
        let acquaintance = Acquaintance { node, counter, nonce };
        if known.as_ref() == Some(&acquaintance) {
            return Ok(());
        }
        if known.is_none() && self.cluster.had_another_store(&hello.node, store) {
            tracing::error!(node = %self.name, peer = hello.node, store = %StoreId(store), event = "peer has a new store", "what its old store had accepted and not handled is gone with it; messages that it has not acknowledged are sent to the new one");
        }
        let record = encode_acquaintance(&acquaintance);
        let Ok(permit) = self.store.reserve(Class::Turn { grows: true }, record.len()).await else {
            return Err(self.gate.ended());
        };
        let key = Key::Peer { store: StoreId(store) };
        let (ticket, ()) = self.store.submit(permit, |stage| stage.put(key, record));
        self.cluster.remember(store, acquaintance);
        self.gate.durable(ticket).await
    }

    /// Takes what a peer has out of the outbox, and notes how far its store has come. Together, and in one step with what
    /// memory holds: the outbox neither holds what is noted as acknowledged, nor lacks what is not.
    pub(super) fn settle(&self, permit: Permit<'_>, receiver: StoreId, settled: &[(Lane, Sequence)]) {
        let progress: FxHashMap<Lane, Sequence> = settled.iter().copied().collect();
        self.store.submit(permit, |stage| {
            for (lane, sequence) in settled {
                let (partition, position) = (Partition(lane.partition), Position(sequence.0));
                stage.delete(Key::Outbox { partition, position });
            }
            for (Lane { line, partition }, through) in progress {
                let key = Key::Acknowledged { partition: Partition(partition), receiver, line };
                stage.put(key, encode_cursor(through));
            }
        });
    }

    /// Room for noting how far so many lanes have come. Waited for before anything is taken out of memory, so that a link that
    /// ends while it waits leaves both as they are.
    pub(super) async fn room_to_settle(&self, lanes: usize) -> Result<Permit<'_>, NodeEnded> {
        let permit = self.store.reserve(Class::Turn { grows: false }, lanes * CURSOR_BYTES_MAX).await;
        permit.map_err(|_| self.gate.ended())
    }
}
