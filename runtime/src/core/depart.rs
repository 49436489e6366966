//! One step, without an await, as for a mailbox of this node: the position, the place in the store's queue and the place in
//! what is owed to the peer are decided together.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Partition, Permit, Position};
use everpost_transport::link::Lane;
use tokio::sync::oneshot;

use super::enqueue::{Accepted, Bound};
use super::{Core, Effect};
use crate::cluster::{Awaited, Departure, OutboxFull, Outgoing, Peer};
use crate::expiry::Expires;
use crate::link::flags;
use crate::mailbox::waiter::Outcome;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::questions::Asking;
use crate::tables;

/// A message on its way to another node.
#[derive(Debug)]
pub(crate) struct Outward<'a> {
    pub(crate) peer: Arc<Peer>,
    pub(crate) lane: Lane,
    pub(crate) address: &'a Address,
    pub(crate) envelope: Bytes,
    /// That it expires.
    pub(crate) expires: Option<Expires>,
    /// What is to be told of it, see [`crate::link::flags`].
    pub(crate) flags: u8,
    /// Who waits for what becomes of it.
    pub(crate) told: Option<(MessageId, oneshot::Sender<Outcome>)>,
    /// That it is the question of a turn of this node.
    pub(crate) question: Option<Asking<'a>>,
}

impl Core {
    /// Puts a message into the outbox.
    pub(crate) fn depart<'a>(
        &self,
        permit: Permit<'_>,
        bound: Bound<'_, '_>,
        outward: Outward<'a>,
    ) -> Result<Accepted, Box<(OutboxFull, Outward<'a>)>> {
        let peer = Arc::clone(&outward.peer);
        let mut outgoing = peer.outgoing();
        if let Bound::Outside(waits) = bound {
            if let Some(full) = outgoing.is_full_for(outward.address.mailbox(), waits.beyond.as_ref()) {
                return Err(Box::new((full, outward)));
            }
            if let Some(sender) = waits.beyond.take() {
                sender.enter(&mut outgoing.line);
            }
        }
        let Outward { lane, address, envelope, expires, flags, told, mut question, .. } = outward;
        let mut replies = self.kept_replies.in_step();
        let outlived = self.outlive_replaced(&mut replies, question.as_ref());
        let (ticket, position) = self.store.submit(permit, |stage| {
            outlived.stage(stage);
            let position = stage.enqueue(&tables::OUTBOX, Partition(lane.partition), envelope.clone());
            if let Some(question) = &mut question {
                question.stage(stage, position);
            }
            position
        });
        drop(replies);
        self.outlived(outlived, ticket);
        if let Some(Asking { mailbox, asked }) = question {
            self.asked.asked(mailbox, asked);
        }
        if let Some((id, waiter)) = told {
            let reply = flags & flags::REPLY != 0;
            peer.pending.wait(id, Awaited { waiter, address: address.clone(), lane, position, reply });
        }
        self.departs(&mut outgoing, &peer, Departure { lane, position, flags, expires, envelope });
        Ok(Accepted { position, ticket })
    }

    /// Makes a submitted message known to the link: it leaves when it is durable.
    pub(crate) fn departs(&self, outgoing: &mut Outgoing, peer: &Arc<Peer>, departure: Departure) {
        let position = departure.position;
        if let Some(expires) = departure.expires {
            self.expires_outward(outgoing, peer, departure.lane, position, expires, &departure.envelope);
        }
        outgoing.push(departure);
        if outgoing.is_connected() {
            self.ring_departures(outgoing, peer, position);
        }
    }

    /// Rings the link when `position` is durable.
    pub(crate) fn ring_departures(&self, outgoing: &mut Outgoing, peer: &Arc<Peer>, position: Position) {
        if outgoing.gated {
            return;
        }
        outgoing.gated = true;
        if self.gate.hold(position, Effect::Depart(Arc::clone(peer))).is_some() {
            outgoing.gated = false;
            peer.departures.notify_one();
        }
    }
}
