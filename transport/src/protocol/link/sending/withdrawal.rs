//! Messages that are not to be sent any more. The peer is never told of them. One that cannot have arrived is taken out
//! as if it had never been there: the next one of its lane names the one before it. One that may have arrived stays
//! until the peer says how far the lane has come, since the peer may name its number.

use super::Sending;
use crate::protocol::link::lane_queue::{Body, Queued};
use crate::protocol::link::message::{Lane, Sequence};

/// Whether a message can have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It cannot have arrived.
    NotSent,
    /// It may have arrived. Its acknowledgement or the next conversation will tell.
    MayHaveArrived,
    /// It was acknowledged or withdrawn, or was never there.
    Settled,
}

impl Sending {
    /// Whether a message can have arrived.
    #[must_use]
    pub fn delivery_status(&self, lane: Lane, sequence: Sequence) -> DeliveryStatus {
        match self.lanes.get(&lane) {
            Some(lane_queue) if lane_queue.find(sequence).is_none() => DeliveryStatus::Settled,
            Some(lane_queue) if sequence <= lane_queue.reached => DeliveryStatus::MayHaveArrived,
            Some(_) => DeliveryStatus::NotSent,
            None => DeliveryStatus::Settled,
        }
    }

    /// Takes messages out that were [not sent](DeliveryStatus::NotSent), in the order of their numbers. `ticket` is the
    /// number of the submission that takes them out of the store: nothing of their lane is sent before it is durable.
    ///
    /// # Panics
    ///
    /// When one of them may have arrived or is not there.
    pub fn withdraw(&mut self, lane: Lane, sequences: &[Sequence], ticket: Sequence) {
        let Self { lanes, backlog, kept_bytes, .. } = self;
        let lane_queue = lanes.get_mut(&lane).expect("the caller has looked it up");
        let Some(first) = sequences.first() else { return };
        assert!(*first > lane_queue.reached, "what may have arrived is not withdrawn");
        lane_queue.held_until = lane_queue.held_until.max(ticket);
        let mut forget = |queued: &Queued| {
            if let Body::Kept(body) = &queued.body {
                *kept_bytes -= body.len();
            }
            if queued.is_in_backlog {
                backlog.messages -= 1;
                backlog.bytes -= queued.bytes as usize;
            }
        };
        let first = lane_queue.find(*first).expect("each of them is there");
        let (end, before) = (first + sequences.len(), lane_queue.messages.len());
        let is_contiguous =
            lane_queue.messages.get(end - 1).is_some_and(|last| Some(&last.sequence) == sequences.last());
        if is_contiguous {
            // As a rule, what came first expires first, and the rest of the lane need not be looked at.
            lane_queue.messages.drain(first..end).for_each(|queued| forget(&queued));
        } else {
            lane_queue.messages.retain(|queued| {
                let stays = sequences.binary_search(&queued.sequence).is_err();
                if !stays {
                    forget(queued);
                }
                stays
            });
        }
        assert_eq!(before - lane_queue.messages.len(), sequences.len(), "each of them is there");
        let is_withdrawn = |closed_for: &mut Sequence| sequences.binary_search(closed_for).is_ok();
        if lane_queue.too_large.take_if(is_withdrawn).is_some() {
            // What the lane was closed for is gone, and the peer takes what follows.
            lane_queue.is_open = true;
            self.list(lane);
        }
    }

    /// A message that may have arrived has expired: it is no part of the backlog from here on, and its body is kept in
    /// the store only. Does nothing for a message that is not there.
    pub fn expire(&mut self, lane: Lane, sequence: Sequence) {
        let Some(lane_queue) = self.lanes.get_mut(&lane) else { return };
        let Some(index) = lane_queue.find(sequence) else { return };
        let queued = &mut lane_queue.messages[index];
        if std::mem::replace(&mut queued.is_in_backlog, false) {
            self.backlog.messages -= 1;
            self.backlog.bytes -= queued.bytes as usize;
        }
        if let Body::Kept(body) = std::mem::replace(&mut queued.body, Body::Stored) {
            self.kept_bytes -= body.len();
        }
    }

    /// The last number that the peer may have, over all lanes: what was pushed after it was never sent.
    #[must_use]
    pub fn reached(&self) -> Sequence {
        self.lanes.values().map(|lane_queue| lane_queue.reached).max().unwrap_or_default()
    }
}
