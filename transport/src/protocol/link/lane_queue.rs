//! The messages of one lane on the sending side.

use std::collections::VecDeque;

use bytes::Bytes;

use super::error::ResumeError;
use super::message::{Lane, Sequence};
use super::terms::Terms;

/// How many bodies are asked for at a time.
const LOAD_MESSAGES: usize = 256;

/// The messages of one lane that are not acknowledged, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneQueue {
    /// What the peer has on disk, by its own word.
    pub(super) acknowledged: Sequence,
    /// The peer has nothing beyond this: the last message that was sent since it last said how far the lane has come.
    pub(super) reached: Sequence,
    /// Nothing is sent before the store is durable up to here: what was withdrawn would be back after a crash, and
    /// would count as arrived once the peer has something behind it.
    pub(super) held_until: Sequence,
    pub(super) messages: VecDeque<Queued>,
    /// How many of the messages were sent on this connection.
    pub(super) sent: usize,
    pub(super) sent_bytes: usize,
    /// How many bytes may be in flight.
    pub(super) credit: u64,
    /// Whether the peer takes messages of this lane at present.
    pub(super) is_open: bool,
    /// The message that the lane is closed for, when that alone is why: it is larger than the peer takes.
    pub(super) too_large: Option<Sequence>,
    /// Whether the lane is among those that are ready, or those whose next message is not durable yet.
    pub(super) is_listed: bool,
}

/// A message that is not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) sequence: Sequence,
    pub(super) bytes: u32,
    pub(super) flags: u8,
    /// False once it has expired and is here only because it may have arrived.
    pub(super) is_in_backlog: bool,
    pub(super) body: Body,
}

/// Where the body of a message is.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// In memory until it is acknowledged.
    Kept(Bytes),
    /// In memory until it is sent.
    Loaded(Bytes),
    /// In the store only.
    Stored,
}

impl LaneQueue {
    pub(super) fn new(lane: Lane, terms: Option<&Terms>) -> Self {
        let mut lane_queue = Self::default();
        if let Some(terms) = terms {
            lane_queue.begin(lane, terms);
        }
        lane_queue
    }

    pub(super) fn begin(&mut self, lane: Lane, terms: &Terms) {
        self.credit = terms.credit;
        self.too_large = None;
        self.is_open = terms.receiver_types.contains(&lane.receiver_type);
    }

    pub(super) fn last(&self) -> Sequence {
        self.messages.back().map_or(self.acknowledged, |queued| queued.sequence)
    }

    /// What the peer has when everything before `index` has arrived.
    pub(super) fn before(&self, index: usize) -> Sequence {
        index.checked_sub(1).map_or(self.acknowledged, |index| self.messages[index].sequence)
    }

    /// What must be durable for the next message to leave.
    pub(super) fn next_leaves_after(&self) -> Option<Sequence> {
        self.messages.get(self.sent).map(|queued| queued.sequence.max(self.held_until))
    }

    pub(super) fn find(&self, sequence: Sequence) -> Option<usize> {
        self.messages.binary_search_by_key(&sequence, |queued| queued.sequence).ok()
    }

    pub(super) fn was_sent(&self, sequence: Sequence) -> bool {
        let sent = self.messages.binary_search_by_key(&sequence, |queued| queued.sequence);
        sent.is_ok_and(|index| index < self.sent)
    }

    /// Whether the peer can have the lane up to `cursor`.
    pub(super) fn check(&self, lane: Lane, cursor: Sequence) -> Result<(), ResumeError> {
        if cursor < self.acknowledged {
            return Err(ResumeError::Rewound { lane, acknowledged: self.acknowledged, cursor });
        }
        let is_known = cursor == self.acknowledged
            || self.messages.binary_search_by_key(&cursor, |queued| queued.sequence).is_ok();
        if is_known { Ok(()) } else { Err(ResumeError::Unknown { lane, cursor }) }
    }

    /// The next bodies that are in the store only.
    pub(super) fn to_load(&self, durable: Sequence) -> Vec<Sequence> {
        let next = self.messages.iter().skip(self.sent).take(LOAD_MESSAGES);
        next.take_while(|queued| queued.sequence <= durable)
            .filter(|queued| matches!(queued.body, Body::Stored))
            .map(|queued| queued.sequence)
            .collect()
    }
}
