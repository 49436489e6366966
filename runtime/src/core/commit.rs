//! The end of a turn: everything that it did is submitted in one step, or nothing is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{Partition, Permit, Position, Stage};
use everpost_transport::link::Lane;
use smallvec::SmallVec;

use super::locked::{Locked, LockedPeers};
use super::settle::Settled;
use super::{Core, Effect};
use crate::actor::turn::{Recipient, Staged, StagedSend};
use crate::base::count;
use crate::cluster::{Departure, Peer};
use crate::expiry::Handling;
use crate::link::flags;
use crate::mailbox::waiter::Outcome;
use crate::mailbox::{Inner, Mailbox};
use crate::message::envelope::{Header, request_of};
use crate::request::Content;
use crate::tables;
use crate::telemetry::Committed;

/// A handler has returned: this is what its turn does.
pub(crate) struct Finished<'a> {
    pub(crate) position: Position,
    pub(crate) header: &'a Header<'a>,
    /// What is to be kept of a message that was sent under an idempotency key.
    pub(crate) content: Option<Content>,
    /// Emptied by the commit.
    pub(crate) staged: &'a mut Staged,
    /// The new state; absent when it did not change.
    pub(crate) record: Option<Bytes>,
    /// The state is to be forgotten once nothing waits, by this turn or one before it.
    pub(crate) forget: bool,
    pub(crate) reply: Option<Bytes>,
    /// The reply is that of an earlier message under the same idempotency key, and is kept already.
    pub(crate) is_repeated: bool,
}

impl Core {
    /// Submits a turn: acknowledgement, state, sends and reply. Returns its ticket, and whether the state
    /// was forgotten.
    pub(crate) fn commit(
        &self,
        mailbox: &Arc<Mailbox>,
        permit: Permit<'_>,
        finished: Finished<'_>,
    ) -> (Position, bool) {
        let destinations: Destinations = finished.staged.sends.iter().map(|send| self.destination(send)).collect();
        let locked = Locked::all(destinations.iter().filter_map(Destination::mailbox).chain([mailbox]));
        self.commit_locked(mailbox, &destinations, locked, permit, finished)
    }

    pub(super) fn destination(&self, send: &StagedSend) -> Destination {
        match &send.to {
            Recipient::Here(kind) => Destination::Here(self.directory.mailbox(&send.address, kind)),
            Recipient::Away(peer, lane) => Destination::Away(Arc::clone(peer), *lane),
        }
    }

    fn commit_locked(
        &self,
        mailbox: &Arc<Mailbox>,
        destinations: &[Destination],
        mut locked: Locked<'_>,
        permit: Permit<'_>,
        finished: Finished<'_>,
    ) -> (Position, bool) {
        let Finished { position, header, content, staged, record, forget, reply, is_repeated } = finished;
        let mut peers = LockedPeers::all(destinations.iter().filter_map(Destination::peer));
        // Added before the one that is done is taken off, so that the count is zero only when nothing waits.
        self.add_waiting(destinations.iter().filter_map(Destination::mailbox).count());
        // So is this: whoever sees that nothing waits sees what was handled.
        self.count_handled();
        let own = locked.of(mailbox);
        let recorded = self.take_done(own, mailbox, position);
        let to_itself =
            destinations.iter().filter_map(Destination::mailbox).any(|receiver| receiver.id() == mailbox.id());
        let forgotten = forget && own.rules.is_empty() && !to_itself;
        let mut replies = self.kept_replies.in_step();
        let settled = match is_repeated {
            true => Settled::default(),
            false => self.settles(&mut replies, mailbox, header, content, reply.as_ref()),
        };
        let outlived = self.outlive(&mut replies, mailbox, header.id(), staged);
        let timers = self.timers.change(std::mem::take(&mut staged.timers));
        let (ticket, positions) = self.store.submit(permit, |stage| {
            stage.delete(mailbox.inbox_key(position));
            if recorded {
                stage.delete(mailbox.attempts_key(position));
            }
            if forgotten {
                stage.delete(mailbox.state_key());
            } else if let Some(record) = record {
                stage.put(mailbox.state_key(), record);
            }
            settled.stage(stage);
            outlived.stage(stage);
            timers.stage(stage);
            let sends = staged.sends.iter().zip(destinations);
            sends.map(|(send, destination)| destination.stage(stage, send)).collect::<SmallVec<[_; 4]>>()
        });
        timers.submitted(ticket);
        self.settled(replies, settled, ticket);

        let own = locked.of(mailbox);
        own.last_submitted = ticket;
        own.restarts = 0;
        if let Some(expires) = header.expires() {
            self.expiries.remove(expires.at, position);
        }
        if let Some(waiter) = own.asks.take(position) {
            self.release_after(ticket, Effect::Tell(waiter, reply.map_or(Outcome::Handled, Outcome::Replied)));
        }
        for ((send, destination), position) in staged.sends.drain(..).zip(destinations).zip(positions) {
            self.deliver(&mut locked, &mut peers, destination, position, send.handling, send.envelope);
        }
        drop((locked, peers));
        self.outlived(outlived, ticket);
        if Committed::is_wanted() {
            self.release_after(ticket, Effect::Log(Committed::new(&mailbox.address, header, position)));
        }
        (ticket, forgotten)
    }

    /// Makes a submitted message visible to its receiver, or to the link to it.
    pub(super) fn deliver(
        &self,
        locked: &mut Locked<'_>,
        peers: &mut LockedPeers<'_>,
        destination: &Destination,
        position: Position,
        handling: Handling,
        envelope: Bytes,
    ) {
        match destination {
            Destination::Here(receiver) => self.place(locked.of(receiver), receiver, position, handling, envelope),
            Destination::Away(peer, lane) => {
                let flags = if request_of(&envelope).is_some() { flags::CONTRADICTION } else { 0 };
                let departure = Departure { lane: *lane, position, flags, expires: handling.expires, envelope };
                self.departs(peers.of(peer), peer, departure);
            }
        }
    }

    /// Takes the message in hand out of the mailbox. Returns whether the store holds a record of its failures.
    fn take_done(&self, inner: &mut Inner, mailbox: &Mailbox, position: Position) -> bool {
        let done = inner.rules.finished();
        assert_eq!(done.position, position, "the message in hand is the one that was handled");
        let bytes = done.body.len();
        self.load.window_bytes.take(bytes);
        inner.remove_key(&done.body);
        self.taken_out(inner, mailbox, bytes);
        done.recorded
    }

    pub(super) fn count_handled(&self) {
        self.load.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// A message of this size has left its mailbox: whoever waits for room is told.
    pub(super) fn taken_out(&self, inner: &mut Inner, mailbox: &Mailbox, bytes: usize) {
        count::take(&mut inner.bytes, bytes);
        self.load.waiting.take(1);
        self.made_room_in_window();
        if !inner.line.is_empty() {
            let room = self.mailbox_room(inner);
            inner.line.give(room);
        }
        self.give_room();
        let has_room = inner.rules.len() <= self.config.mailbox_messages_max / 2
            && inner.bytes <= self.config.mailbox_bytes_max / 2;
        if inner.told_full && has_room {
            inner.told_full = false;
            self.cluster.peers().iter().for_each(|peer| peer.tell_room(&mailbox.address));
        }
    }
}

/// Most turns send to a few actors; these need no allocation.
type Destinations = SmallVec<[Destination; 4]>;

/// Where a staged message goes, looked up.
pub(super) enum Destination {
    Here(Arc<Mailbox>),
    Away(Arc<Peer>, Lane),
}

impl Destination {
    pub(super) fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        match self {
            Self::Here(mailbox) => Some(mailbox),
            Self::Away(..) => None,
        }
    }

    pub(super) fn peer(&self) -> Option<&Arc<Peer>> {
        match self {
            Self::Here(_) => None,
            Self::Away(peer, _) => Some(peer),
        }
    }

    /// Adds a message to the submission. Returns its position.
    pub(super) fn stage(&self, stage: &mut Stage<'_>, send: &StagedSend) -> Position {
        match self {
            Self::Here(receiver) => stage.enqueue(&tables::INBOX, receiver.partition, send.envelope.clone()),
            Self::Away(_, lane) => stage.enqueue(&tables::OUTBOX, Partition(lane.partition), send.envelope.clone()),
        }
    }
}
