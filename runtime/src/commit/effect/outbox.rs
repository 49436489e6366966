//! Messages that leave the outbox: their peer has them, or they have expired there.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Key, Partition, Position, ShardId, Stage};
use everpost_transport::link::{Lane, Sequence};

use super::Phases;
use super::send::ring_departures;
use crate::cluster::expiring::Expiring;
use crate::cluster::{Peer, encode_cursor};
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::mailbox::waiter::Waiter;
use crate::message::outcome::Outcome;
use crate::shard::Release;
use crate::shard::expiring::{not_sent, outbox_key};
use crate::tables;

/// What the store of a peer has leaves the outbox, and how far it has come is noted. In one step with what memory
/// holds, which the caller has locked: the outbox neither holds what is noted as acknowledged, nor lacks what is not.
pub(crate) struct Delivered<'a> {
    receiver: ShardId,
    settled: &'a [(Lane, Sequence)],
    /// What is remembered of the peer meanwhile.
    changes: Vec<(Key, Option<Bytes>)>,
}

impl<'a> Delivered<'a> {
    pub(crate) fn new(receiver: ShardId, settled: &'a [(Lane, Sequence)], changes: Vec<(Key, Option<Bytes>)>) -> Self {
        Self { receiver, settled, changes }
    }
}

impl<'a> Phases<'a> for Delivered<'a> {
    fn stage(&mut self, stage: &mut Stage<'_>) {
        for (key, record) in self.changes.drain(..) {
            match record {
                Some(record) => stage.put(key, record),
                None => stage.delete(key),
            }
        }
        // What one acknowledgement has settled stands together, and its last says how far the lane has come.
        for settled in self.settled.chunk_by(|(one, _), (next, _)| one == next) {
            for (lane, sequence) in settled {
                stage.delete(outbox_key(*lane, Position(sequence.0)));
            }
            if let Some((Lane { receiver_type, partition }, through)) = settled.last() {
                let key = tables::acknowledged(Partition(*partition), self.receiver, *receiver_type);
                stage.put(key, encode_cursor(*through));
            }
        }
    }
}

/// Messages of one lane have expired in the outbox, and cannot have arrived. Nothing happens where there are none.
pub(crate) struct Withdrawn<'a> {
    peer: &'a Arc<Peer>,
    lane: Lane,
    expired: Vec<Expiring>,
    /// They become dead letters, and are told as such.
    reason: Option<&'static str>,
}

impl<'a> Withdrawn<'a> {
    pub(crate) fn dropped(peer: &'a Arc<Peer>, lane: Lane, mut expired: Vec<Expiring>) -> Self {
        expired.sort_unstable_by_key(|expiring| expiring.position);
        Self { peer, lane, expired, reason: None }
    }

    pub(crate) fn given_up(peer: &'a Arc<Peer>, lane: Lane, expiring: Expiring, reason: &'static str) -> Self {
        Self { peer, lane, expired: vec![expiring], reason: Some(reason) }
    }
}

impl<'a> Phases<'a> for Withdrawn<'a> {
    fn size(&self, size: &mut Size) {
        if self.reason.is_some() {
            self.expired.iter().for_each(|expiring| size.remove(expiring.bytes));
        }
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.peers.push(self.peer);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        let shard = step.shard;
        self.expired = not_sent(shard, step.outgoing(self.peer), self.lane, std::mem::take(&mut self.expired));
        if self.expired.is_empty() { Err(Refused::Gone) } else { Ok(()) }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.expired.iter().for_each(|expiring| stage.delete(outbox_key(self.lane, expiring.position)));
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { peer, lane, expired, reason } = self;
        let (shard, ticket) = (step.shard, step.ticket);
        let positions: Vec<Position> = expired.iter().map(|expiring| expiring.position).collect();
        step.outgoing(peer).withdraw(lane, &positions, ticket);
        // One of them may have been what its lane waited for.
        ring_departures(step, peer, ticket);
        for Expiring { id, .. } in &expired {
            if reason.is_none() {
                shard.expiries.note_dropped(*id, ticket);
            }
            if let Some(told) = peer.pending.take(*id) {
                let outcome = reason.map_or(Outcome::Expired, |reason| Outcome::GivenUp(reason.to_owned()));
                step.release_committed(Release::Tell(Waiter::Here { told, reply: false }, outcome));
            }
        }
        if reason.is_none() {
            let messages = expired.len();
            shard.counters.expired.fetch_add(messages as u64, std::sync::atomic::Ordering::Relaxed);
            tracing::debug!(
                node = %shard.name, peer = %peer.name, %lane, messages, event = "expired",
                "dropped before they were sent, as their sender or their actor type wants it"
            );
        }
    }
}
