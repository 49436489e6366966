//! What is owed to other nodes, and how far the lanes of all stores have come.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::PoisonError;

use everpost_persistence::{Position, ReadError};
use everpost_transport::link::Lane;

use super::ELSEWHERE;
use crate::cluster::{UnmetPeers, decode_cursor, decode_known_store, decode_runs};
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::shard::expiring;
use crate::shard::{Remote, Shard};
use crate::tables;

/// Rebuilds what is owed and what is known of other stores. Blocks.
pub(super) fn recover(shard: &Shard) -> Result<(), ReadError> {
    let nodes = known_stores(shard)?;
    received(shard)?;
    acknowledged(shard, &nodes)?;
    unmet(shard, &nodes.into_values().collect())?;
    recover_outboxes(shard)
}

/// What peers may have been sent by earlier runs: everything, unless it was noted when the last conversation was over.
/// A node whose store was never met was sent nothing: a store is remembered before anything is sent to it.
fn unmet(shard: &Shard, met: &HashSet<String>) -> Result<(), ReadError> {
    let record = shard.store.get(&UnmetPeers::KEY)?;
    let noted = record.and_then(|record| UnmetPeers::decode(&record, shard.store.epoch().counter));
    let mut unmet = shard.cluster.unmet();
    *unmet = noted.unwrap_or_default();
    for peer in shard.cluster.peers() {
        if unmet.sent_through(&peer.name).is_none() {
            // This run has sent nothing yet.
            let before = Position(shard.first.0 - 1);
            unmet.parted(&peer.name, if met.contains(&*peer.name) { before } else { Position(0) });
        }
    }
    Ok(())
}

/// The stores that were spoken with, and the nodes that had them.
fn known_stores(shard: &Shard) -> Result<HashMap<u128, String>, ReadError> {
    let mut nodes = HashMap::new();
    let own = shard.store.id();
    shard.store.scan(&tables::PEERS, |key, record| {
        let store = tables::peer_of(key);
        if store == own {
            match decode_runs(record) {
                Some(runs) => shard.cluster.recovered_runs(runs),
                None => unreadable(shard, "the runs of this store"),
            }
            return ControlFlow::Continue(());
        }
        match decode_known_store(record) {
            Some(known) => {
                nodes.insert(store.0, known.node.clone());
                shard.cluster.known_stores().recovered(store.0, known);
            }
            None => unreadable(shard, "what is known of a peer's store"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(nodes)
}

fn received(shard: &Shard) -> Result<(), ReadError> {
    shard.store.scan(&tables::RECEIVED, |key, record| {
        let (partition, producer, receiver_type) = tables::lane_of(key);
        match decode_cursor(record) {
            Some(sequence) => {
                let lane = Lane { receiver_type, partition: partition.0 };
                let receiving = shard.cluster.producer(producer);
                shard.cluster.know_producer(producer, &receiving);
                receiving.lock().unwrap_or_else(PoisonError::into_inner).recovered(lane, sequence);
            }
            None => unreadable(shard, "how far a lane was received"),
        }
        ControlFlow::Continue(())
    })
}

fn acknowledged(shard: &Shard, nodes: &HashMap<u128, String>) -> Result<(), ReadError> {
    let mut beyond = None;
    shard.store.scan(&tables::ACKNOWLEDGED, |key, record| {
        let (partition, receiver, receiver_type) = tables::lane_of(key);
        if let Some(peer) = nodes.get(&receiver.0).and_then(|node| shard.cluster.peer(node)) {
            match decode_cursor(record) {
                // Nobody can acknowledge what was never sent, and what is sent next would count as acknowledged.
                Some(through) if through.0 >= shard.first.0 => {
                    beyond =
                        Some(tables::ACKNOWLEDGED.damage(key, "it acknowledges a position that was never given out"));
                    return ControlFlow::Break(());
                }
                Some(through) => {
                    let lane = Lane { receiver_type, partition: partition.0 };
                    peer.outgoing().recovered_acknowledgement(receiver.0, lane, through);
                }
                None => unreadable(shard, "how far a lane was acknowledged"),
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(beyond.map_or(Ok(()), Err)?)
}

/// Messages on their way; those that belong nowhere were refused before.
fn recover_outboxes(shard: &Shard) -> Result<(), ReadError> {
    let mut misplaced = None;
    shard.store.scan(&tables::OUTBOX, |key, envelope| {
        let (partition, position) = tables::queued_of(key);
        let address = Header::decode(envelope).ok().and_then(|(header, _)| Address::parse(header.destination));
        match address.and_then(|address| shard.remote(&address)) {
            Some(Remote { lane, .. }) if lane.partition != partition.0 => {
                misplaced = Some(tables::OUTBOX.damage(key, ELSEWHERE));
                return ControlFlow::Break(());
            }
            Some(Remote { peer, lane, .. }) => {
                let sent_through = shard.cluster.unmet().sent_through(&peer.name);
                let may_have_arrived = sent_through.is_none_or(|sent_through| position <= sent_through);
                let mut outgoing = peer.outgoing();
                outgoing.recovered(lane, position, envelope.len(), may_have_arrived);
                if let Some(expires) = Header::decode(envelope).ok().and_then(|(header, _)| header.expires()) {
                    expiring::expires_outward(shard, &mut outgoing, &peer, lane, position, expires, envelope);
                }
            }
            None => {
                tracing::error!(
                    node = %shard.name, seq = position.0, event = "record unreadable",
                    "a message on its way cannot be read by this build; it stays in the store"
                );
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(misplaced.map_or(Ok(()), Err)?)
}

fn unreadable(shard: &Shard, what: &str) {
    tracing::error!(
        node = %shard.name, what, event = "record unreadable",
        "it cannot be read by this build; start the build that wrote it"
    );
}
