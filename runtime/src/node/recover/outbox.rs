//! What is owed to other nodes, and how far the lanes of all stores have come.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::PoisonError;

use everpost_persistence::{Position, ReadError};
use everpost_transport::link::Lane;

use super::ELSEWHERE;
use crate::cluster::{UnmetPeers, decode_cursor, decode_known_store, decode_runs};
use crate::core::expiring;
use crate::core::{Core, Remote};
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::tables;

/// Rebuilds what is owed and what is known of other stores. Blocks.
pub(super) fn recover(core: &Core) -> Result<(), ReadError> {
    let nodes = known_stores(core)?;
    received(core)?;
    acknowledged(core, &nodes)?;
    unmet(core, &nodes.into_values().collect())?;
    recover_outboxes(core)
}

/// What peers may have been sent by earlier runs: everything, unless it was noted when the last conversation was over.
/// A node whose store was never met was sent nothing: a store is remembered before anything is sent to it.
fn unmet(core: &Core, met: &HashSet<String>) -> Result<(), ReadError> {
    let record = core.store.get(&UnmetPeers::KEY)?;
    let noted = record.and_then(|record| UnmetPeers::decode(&record, core.store.epoch().counter));
    let mut unmet = core.cluster.unmet();
    *unmet = noted.unwrap_or_default();
    for peer in core.cluster.peers() {
        if unmet.sent_through(&peer.name).is_none() {
            // This run has sent nothing yet.
            let before = Position(core.first.0 - 1);
            unmet.parted(&peer.name, if met.contains(&*peer.name) { before } else { Position(0) });
        }
    }
    Ok(())
}

/// The stores that were spoken with, and the nodes that had them.
fn known_stores(core: &Core) -> Result<HashMap<u128, String>, ReadError> {
    let mut nodes = HashMap::new();
    let own = core.store.id();
    core.store.scan(&tables::PEERS, |key, record| {
        let store = tables::peer_of(key);
        if store == own {
            match decode_runs(record) {
                Some(runs) => core.cluster.recovered_runs(runs),
                None => unreadable(core, "the runs of this store"),
            }
            return ControlFlow::Continue(());
        }
        match decode_known_store(record) {
            Some(known) => {
                nodes.insert(store.0, known.node.clone());
                core.cluster.known_stores().recovered(store.0, known);
            }
            None => unreadable(core, "what is known of a peer's store"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(nodes)
}

fn received(core: &Core) -> Result<(), ReadError> {
    core.store.scan(&tables::RECEIVED, |key, record| {
        let (partition, producer, receiver_type) = tables::lane_of(key);
        match decode_cursor(record) {
            Some(sequence) => {
                let lane = Lane { receiver_type, partition: partition.0 };
                let receiving = core.cluster.producer(producer);
                core.cluster.know_producer(producer, &receiving);
                receiving.lock().unwrap_or_else(PoisonError::into_inner).recovered(lane, sequence);
            }
            None => unreadable(core, "how far a lane was received"),
        }
        ControlFlow::Continue(())
    })
}

fn acknowledged(core: &Core, nodes: &HashMap<u128, String>) -> Result<(), ReadError> {
    let mut beyond = None;
    core.store.scan(&tables::ACKNOWLEDGED, |key, record| {
        let (partition, receiver, receiver_type) = tables::lane_of(key);
        if let Some(peer) = nodes.get(&receiver.0).and_then(|node| core.cluster.peer(node)) {
            match decode_cursor(record) {
                // Nobody can acknowledge what was never sent, and what is sent next would count as acknowledged.
                Some(through) if through.0 >= core.first.0 => {
                    beyond =
                        Some(tables::ACKNOWLEDGED.damage(key, "it acknowledges a position that was never given out"));
                    return ControlFlow::Break(());
                }
                Some(through) => {
                    let lane = Lane { receiver_type, partition: partition.0 };
                    peer.outgoing().recovered_acknowledgement(receiver.0, lane, through);
                }
                None => unreadable(core, "how far a lane was acknowledged"),
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(beyond.map_or(Ok(()), Err)?)
}

/// Messages on their way; those that belong nowhere were refused before.
fn recover_outboxes(core: &Core) -> Result<(), ReadError> {
    let mut misplaced = None;
    core.store.scan(&tables::OUTBOX, |key, envelope| {
        let (partition, position) = tables::queued_of(key);
        let address = Header::decode(envelope).ok().and_then(|(header, _)| Address::parse(header.destination));
        match address.and_then(|address| core.remote(&address)) {
            Some(Remote { lane, .. }) if lane.partition != partition.0 => {
                misplaced = Some(tables::OUTBOX.damage(key, ELSEWHERE));
                return ControlFlow::Break(());
            }
            Some(Remote { peer, lane, .. }) => {
                let sent_through = core.cluster.unmet().sent_through(&peer.name);
                let may_have_arrived = sent_through.is_none_or(|sent_through| position <= sent_through);
                let mut outgoing = peer.outgoing();
                outgoing.recovered(lane, position, envelope.len(), may_have_arrived);
                if let Some(expires) = Header::decode(envelope).ok().and_then(|(header, _)| header.expires()) {
                    expiring::expires_outward(core, &mut outgoing, &peer, lane, position, expires, envelope);
                }
            }
            None => {
                tracing::error!(
                    node = %core.name, seq = position.0, event = "record unreadable",
                    "a message on its way cannot be read by this build; it stays in the store"
                );
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(misplaced.map_or(Ok(()), Err)?)
}

fn unreadable(core: &Core, what: &str) {
    tracing::error!(
        node = %core.name, what, event = "record unreadable",
        "it cannot be read by this build; start the build that wrote it"
    );
}
