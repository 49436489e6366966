//! The sending side: what one peer has not acknowledged, and what may leave now.

mod conversation;
pub(super) mod poll;
pub(super) mod withdrawal;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::error::AckError;
use super::lane_queue::{Body, LaneQueue, Queued};
use super::message::{Ack, Lane, Sequence};
use super::terms::Terms;

/// The messages that one peer has not acknowledged. Lives as long as the process, over all connections; the bodies that
/// are not in memory are in the store. The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Sending {
    lanes: FxHashMap<Lane, LaneQueue>,
    /// Lanes that may have something to send, each once.
    ready: VecDeque<Lane>,
    /// Lanes whose next message is not durable yet, each once.
    uncommitted: Vec<Lane>,
    /// How far the store has committed.
    durable: Sequence,
    backlog: Backlog,
    /// Bytes of bodies that are kept in memory, and how many may be.
    kept_bytes: usize,
    kept_bytes_max: usize,
    /// Bytes that were sent and not acknowledged, and how many may be.
    in_flight_bytes: usize,
    in_flight_bytes_max: usize,
    /// None while there is no conversation.
    terms: Option<Terms>,
}

/// How much is not acknowledged yet, without what has expired ([`Sending::expire`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// How many messages.
    pub messages: usize,
    /// How many bytes they have together.
    pub bytes: usize,
}

/// Whether flags that were set late can still reach the receiver with their message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOutcome {
    /// The message was not sent yet, and will carry them.
    Set,
    /// It was sent without them, and may have arrived.
    InFlight,
    /// It was acknowledged.
    Acknowledged,
}

impl Sending {
    /// Without messages. Bodies beyond `kept_bytes_max` are left to the store; no more than `in_flight_bytes_max`
    /// bytes, or one message, are in flight at a time.
    #[must_use]
    pub fn new(kept_bytes_max: usize, in_flight_bytes_max: usize) -> Self {
        Self {
            lanes: FxHashMap::default(),
            ready: VecDeque::new(),
            uncommitted: Vec::new(),
            durable: Sequence(0),
            backlog: Backlog::default(),
            kept_bytes: 0,
            kept_bytes_max,
            in_flight_bytes: 0,
            in_flight_bytes_max,
            terms: None,
        }
    }

    /// Adds a message that the store had when it was opened, in the order of the numbers; `may_have_arrived` unless it
    /// is known that no earlier run of the store has sent it.
    ///
    /// # Panics
    ///
    /// When the lane has a message with this number or a later one.
    pub fn recovered(&mut self, lane: Lane, sequence: Sequence, bytes: usize, may_have_arrived: bool) {
        let lane_queue = self.append(lane, sequence, bytes, 0, Body::Stored);
        if may_have_arrived {
            lane_queue.reached = sequence;
        }
    }

    /// Adds a message that was submitted to the store; it leaves when that is durable.
    ///
    /// # Panics
    ///
    /// When the lane has a message with this number or a later one.
    pub fn push(&mut self, lane: Lane, sequence: Sequence, flags: u8, body: Bytes) {
        let bytes = body.len();
        let body = if self.kept_bytes + bytes <= self.kept_bytes_max {
            self.kept_bytes += bytes;
            Body::Kept(body)
        } else {
            Body::Stored
        };
        self.append(lane, sequence, bytes, flags, body);
    }

    fn append(&mut self, lane: Lane, sequence: Sequence, bytes: usize, flags: u8, body: Body) -> &mut LaneQueue {
        let terms = self.terms.as_ref();
        let lane_queue = self.lanes.entry(lane).or_insert_with(|| LaneQueue::new(lane, terms));
        assert!(sequence > lane_queue.last(), "numbers grow within a lane");
        let bytes = u32::try_from(bytes).expect("a message is far below 4 GiB");
        lane_queue.messages.push_back(Queued { sequence, bytes, flags, is_in_backlog: true, body });
        self.backlog.messages += 1;
        self.backlog.bytes += bytes as usize;
        if !lane_queue.is_listed && lane_queue.is_open {
            lane_queue.is_listed = true;
            self.ready.push_back(lane);
        }
        lane_queue
    }

    /// Sets flags of a message, besides those that it has.
    pub fn flag(&mut self, lane: Lane, sequence: Sequence, flags: u8) -> FlagOutcome {
        let Some(lane_queue) = self.lanes.get_mut(&lane) else {
            return FlagOutcome::Acknowledged;
        };
        let Ok(index) = lane_queue.messages.binary_search_by_key(&sequence, |queued| queued.sequence) else {
            return FlagOutcome::Acknowledged;
        };
        // Also when it is in flight: it will carry them if it is sent again.
        lane_queue.messages[index].flags |= flags;
        if index < lane_queue.sent { FlagOutcome::InFlight } else { FlagOutcome::Set }
    }

    /// Whether the peer takes messages of so many bytes. False while there is no conversation.
    #[must_use]
    pub fn takes(&self, bytes: usize) -> bool {
        self.terms.as_ref().is_some_and(|terms| bytes as u64 <= terms.message_bytes_max)
    }

    /// How much is not acknowledged yet.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.backlog
    }

    /// The store is durable up to here.
    pub fn committed(&mut self, durable: Sequence) {
        if durable > self.durable {
            self.durable = durable;
            self.ready.extend(self.uncommitted.drain(..));
        }
    }

    /// The peer has a lane on disk up to a message. `settled` is called for each message that need not be kept any
    /// longer.
    ///
    /// # Errors
    ///
    /// [`AckError`] when that was not sent; nothing is changed then.
    pub fn acknowledged(&mut self, ack: Ack, mut settled: impl FnMut(Lane, Sequence)) -> Result<(), AckError> {
        let Some(lane_queue) = self.lanes.get_mut(&ack.lane) else {
            return Err(AckError(ack));
        };
        if ack.through > lane_queue.acknowledged && !lane_queue.was_sent(ack.through) {
            return Err(AckError(ack));
        }
        lane_queue.credit = ack.credit;
        self.settle(ack.lane, ack.through, &mut settled);
        self.list(ack.lane);
        Ok(())
    }

    fn settle(&mut self, lane: Lane, through: Sequence, settled: &mut impl FnMut(Lane, Sequence)) {
        let lane_queue = self.lanes.get_mut(&lane).expect("the caller has looked it up");
        while lane_queue.messages.front().is_some_and(|queued| queued.sequence <= through) {
            let queued = lane_queue.messages.pop_front().expect("there is a front");
            let bytes = queued.bytes as usize;
            if let Body::Kept(body) = queued.body {
                self.kept_bytes -= body.len();
            }
            if lane_queue.sent > 0 {
                lane_queue.sent -= 1;
                lane_queue.sent_bytes -= bytes;
                self.in_flight_bytes -= bytes;
            }
            if queued.is_in_backlog {
                self.backlog.messages -= 1;
                self.backlog.bytes -= bytes;
            }
            settled(lane, queued.sequence);
        }
        lane_queue.acknowledged = lane_queue.acknowledged.max(through);
    }

    /// Puts a lane among those that are ready if it may have something to send.
    fn list(&mut self, lane: Lane) {
        let lane_queue = self.lanes.get_mut(&lane).expect("the caller has looked it up");
        if lane_queue.is_open && !lane_queue.is_listed && lane_queue.sent < lane_queue.messages.len() {
            lane_queue.is_listed = true;
            self.ready.push_back(lane);
        }
    }
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages, {} bytes", self.messages, self.bytes)
    }
}
