//! Messages that are not to be sent any more. The peer is never told of them: one that cannot have arrived leaves as if it had
//! never been there, and the next one of its lane names the one before it. One that may have arrived stays until the peer says
//! how far the lane has come, since its number may be what the peer says.

use super::Sending;
use crate::protocol::link::lane_queue::{Body, Queued};
use crate::protocol::link::message::{Lane, Sequence};

/// How a message stands with the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It cannot have arrived.
    NotSent,
    /// It may have arrived. That is known when it is acknowledged, or with the next conversation.
    MayHaveArrived,
    /// It is not owed: it was acknowledged or withdrawn.
    NotOwed,
}

impl Sending {
    /// How a message stands with the peer.
    #[must_use]
    pub fn standing(&self, lane: Lane, sequence: Sequence) -> Standing {
        match self.lanes.get(&lane) {
            Some(lane_queue) if lane_queue.find(sequence).is_none() => Standing::NotOwed,
            Some(lane_queue) if sequence <= lane_queue.reached => Standing::MayHaveArrived,
            Some(_) => Standing::NotSent,
            None => Standing::NotOwed,
        }
    }

    /// Takes messages out that were not sent, as [`Sending::standing`] says; in the order of their numbers. `ticket` is that of the
    /// submission that takes them out of the store: nothing of their lane is sent before it is durable.
    pub fn withdraw(&mut self, lane: Lane, sequences: &[Sequence], ticket: Sequence) {
        let Self { lanes, owed, kept_bytes, .. } = self;
        let lane_queue = lanes.get_mut(&lane).expect("the caller has looked it up");
        let Some(first) = sequences.first() else { return };
        assert!(*first > lane_queue.reached, "what may have arrived is not withdrawn");
        lane_queue.held_until = lane_queue.held_until.max(ticket);
        let mut forget = |queued: &Queued| {
            if let Body::Kept(body) = &queued.body {
                *kept_bytes -= body.len();
            }
            if queued.counts {
                owed.messages -= 1;
                owed.bytes -= queued.bytes as usize;
            }
        };
        let first = lane_queue.find(*first).expect("each of them is owed");
        let (end, before) = (first + sequences.len(), lane_queue.messages.len());
        let is_a_row = lane_queue.messages.get(end - 1).is_some_and(|last| Some(&last.sequence) == sequences.last());
        if is_a_row {
            // As a rule: what came first expires first. The whole lane need not be gone through.
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
        assert_eq!(before - lane_queue.messages.len(), sequences.len(), "each of them is owed");
        let is_in_the_way = |closed_for: &mut Sequence| sequences.binary_search(closed_for).is_ok();
        if lane_queue.too_large.take_if(is_in_the_way).is_some() {
            // The peer was never sent it, and takes what follows.
            lane_queue.is_open = true;
            self.list(lane);
        }
    }

    /// A message that may have arrived need not arrive any more: it is not counted as owed from here on, and its body is kept in
    /// the store only. Nothing happens to one that is not owed.
    pub fn uncount(&mut self, lane: Lane, sequence: Sequence) {
        let Some(lane_queue) = self.lanes.get_mut(&lane) else { return };
        let Some(index) = lane_queue.find(sequence) else { return };
        let queued = &mut lane_queue.messages[index];
        if std::mem::replace(&mut queued.counts, false) {
            self.owed.messages -= 1;
            self.owed.bytes -= queued.bytes as usize;
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
