//! The step in which messages that have expired leave the outbox: many of a lane in one submission.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{Partition, Permit, Position};
use everpost_transport::link::Lane;

use super::{Core, Effect};
use crate::cluster::{Departure, Outgoing, Peer};
use crate::dead_letters::{Slot, Whereabouts, known_of};
use crate::expiry::{EXPIRED, Expiring, outbox_key};
use crate::mailbox::waiter::{Outcome, Waiter};
use crate::message::MessageId;
use crate::message::address::Address;
use crate::tables;

/// A message that has expired in the outbox, and is to become a dead letter of this node.
pub(crate) struct OutwardBurial<'a> {
    pub(crate) slot: Slot<'a>,
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) lane: Lane,
    pub(crate) expiring: Expiring,
    /// What the store keeps of it.
    pub(crate) record: Bytes,
    /// Where it was to go.
    pub(crate) address: Option<Address>,
    /// What tells its actor of it, if that wants to know.
    pub(crate) notice: Option<Bytes>,
}

/// Why a message is not owed any more.
#[derive(Debug)]
pub(crate) enum LeftOutbox {
    /// Its peer has acknowledged it.
    Arrived,
    /// It has expired here, which is the end of it once this is durable.
    Over(Outcome, Position),
    /// It has expired here, and was replayed from its dead letter since: this is its number now.
    Replayed(Position),
}

impl Core {
    /// Drops messages of one lane that have expired, as far as they cannot have arrived.
    pub(crate) fn drop_outward(&self, permit: Permit<'_>, peer: &Arc<Peer>, lane: Lane, expired: Vec<Expiring>) {
        let mut outgoing = peer.outgoing();
        let mut expired = self.not_sent(&mut outgoing, lane, expired);
        if expired.is_empty() {
            return;
        }
        expired.sort_unstable_by_key(|expiring| expiring.position);
        let (ticket, ()) = self.store.submit(permit, |stage| {
            expired.iter().for_each(|expiring| stage.delete(outbox_key(lane, expiring.position)));
        });
        expired.iter().for_each(|expiring| self.expiries.note_dropped(expiring.id, ticket));
        self.withdraw(&mut outgoing, peer, lane, &expired, ticket, || Outcome::Expired);
        self.counters.expired.fetch_add(expired.len() as u64, Ordering::Relaxed);
        tracing::debug!(node = %self.name, peer = %peer.name, %lane, messages = expired.len(), event = "expired", "dropped before they were sent, as their sender or their actor type wants it");
    }

    /// Moves a message to the dead letters, in one commit, if it cannot have arrived.
    pub(crate) fn bury_outward(&self, permit: Permit<'_>, burial: OutwardBurial<'_>) {
        let OutwardBurial { slot, peer, lane, expiring, record, address, notice } = burial;
        let mut outgoing = peer.outgoing();
        let expired = self.not_sent(&mut outgoing, lane, vec![expiring]);
        let Some(&Expiring { position, .. }) = expired.first() else { return };
        let known = known_of(&record);
        let mut letters = self.shelf.letters();
        let oldest = letters.to_make_room();
        let mut replies = self.kept_replies.in_step();
        let outlived = self.outlive_letters(&letters, &mut replies, oldest.as_slice());
        let (ticket, noticed) = self.store.submit(permit, |stage| {
            stage.delete(outbox_key(lane, position));
            stage.put(tables::dead_letter(position), record);
            if let Some(position) = oldest {
                stage.delete(tables::dead_letter(position));
                outlived.stage(stage);
            }
            notice.clone().map(|notice| stage.enqueue(&tables::OUTBOX, Partition(lane.partition), notice))
        });
        letters.added(slot, position, known, ticket);
        if let Some(oldest) = oldest {
            letters.dropped(oldest, ticket);
        }
        drop((letters, replies));
        self.outlived(outlived, ticket);
        self.withdraw(&mut outgoing, peer, lane, &expired, ticket, || Outcome::GivenUp(EXPIRED.to_owned()));
        if let Some((position, envelope)) = noticed.zip(notice) {
            self.departs(&mut outgoing, peer, Departure { lane, position, flags: 0, expires: None, envelope });
        }
        self.counters.dead_lettered.fetch_add(1, Ordering::Relaxed);
        match &address {
            Some(address) => self.tell_of_expired_letter(address, position),
            None => self.tell_of_expired_letter(&format_args!("on {}", peer.name), position),
        }
        self.shelf.warn(&self.name);
        if let (true, Some(address)) = (oldest.is_some(), address) {
            self.shelf.alarm_dropped(&self.name, &address);
        }
    }

    /// Why a message that had this position is not owed any more.
    pub(crate) fn left_outbox(&self, id: MessageId, position: Position) -> LeftOutbox {
        if let Some(ticket) = self.expiries.dropped(id) {
            return LeftOutbox::Over(Outcome::Expired, ticket);
        }
        let letters = self.shelf.letters();
        match letters.whereabouts(id) {
            // A letter of another number is of a question that lay here before its actor moved.
            Whereabouts::Letter(letter) if letter == position => {
                LeftOutbox::Over(Outcome::GivenUp(EXPIRED.to_owned()), letters.newest())
            }
            Whereabouts::Gone(letter, reason) if letter == position => {
                LeftOutbox::Over(Whereabouts::outcome(reason), letters.newest())
            }
            Whereabouts::Replayed(again) => LeftOutbox::Replayed(again),
            Whereabouts::Unknown | Whereabouts::Letter(_) | Whereabouts::Gone(..) => LeftOutbox::Arrived,
        }
    }

    /// Takes messages out of what is owed that leave the store by the submission with this ticket, and tells who waits for them.
    fn withdraw(
        &self,
        outgoing: &mut Outgoing,
        peer: &Arc<Peer>,
        lane: Lane,
        expired: &[Expiring],
        ticket: Position,
        outcome: impl Fn() -> Outcome,
    ) {
        let positions: Vec<Position> = expired.iter().map(|expiring| expiring.position).collect();
        outgoing.withdraw(lane, &positions, ticket);
        if outgoing.is_connected() {
            // One of them may have been what its lane waited for.
            self.ring_departures(outgoing, peer, ticket);
        }
        for told in expired.iter().filter_map(|expiring| peer.pending.take(expiring.id)) {
            self.release_after(ticket, Effect::Tell(Waiter::Here { told, reply: false }, outcome()));
        }
    }
}
