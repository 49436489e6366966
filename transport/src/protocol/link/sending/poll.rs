//! What leaves next.

use bytes::Bytes;

use super::Sending;
use crate::protocol::link::lane_queue::Body;
use crate::protocol::link::message::{Data, Lane, Sequence};

/// How many messages a lane may send before another has its turn.
const TURN_MESSAGES: usize = 64;

/// What the caller is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this message.
    Send(Data),
    /// Read these bodies from the store, and hand them to [`Sending::loaded`].
    Load(Lane, Vec<Sequence>),
    /// The peer does not take messages as large as this one, so that its lane waits until the peer comes back with
    /// another limit. Returned once in a conversation.
    TooLarge {
        /// The lane.
        lane: Lane,
        /// The message.
        sequence: Sequence,
        /// Its size.
        bytes: usize,
    },
    /// Nothing may leave until something is pushed, committed or acknowledged.
    Nothing,
}

impl Sending {
    /// What to do next. Nothing that is not durable is ever sent.
    pub fn poll(&mut self) -> Next {
        while let Some(&lane) = self.ready.front() {
            let lane_queue = self.lanes.get_mut(&lane).expect("only lanes that exist are listed");
            let next = lane_queue.messages.get_mut(lane_queue.sent).filter(|_| lane_queue.is_open);
            let Some(queued) = next else {
                self.unlist();
                continue;
            };
            if queued.sequence.max(lane_queue.held_until) > self.durable {
                self.ready.pop_front();
                self.uncommitted.push(lane);
                continue;
            }
            let bytes = queued.bytes as usize;
            if self.terms.as_ref().is_some_and(|terms| bytes as u64 > terms.message_bytes_max) {
                let sequence = queued.sequence;
                lane_queue.is_open = false;
                lane_queue.too_large = Some(sequence);
                self.unlist();
                return Next::TooLarge { lane, sequence, bytes };
            }
            // One message may always be in flight, however large it is.
            if lane_queue.sent > 0 && (lane_queue.sent_bytes + bytes) as u64 > lane_queue.credit {
                self.unlist();
                continue;
            }
            if self.in_flight_bytes > 0 && self.in_flight_bytes + bytes > self.in_flight_bytes_max {
                return Next::Nothing;
            }
            let body = match std::mem::replace(&mut queued.body, Body::Stored) {
                Body::Kept(body) => {
                    queued.body = Body::Kept(body.clone());
                    body
                }
                Body::Loaded(body) => body,
                Body::Stored => return Next::Load(lane, lane_queue.to_load(self.durable)),
            };
            let (sequence, flags) = (queued.sequence, queued.flags);
            let previous = lane_queue.before(lane_queue.sent);
            lane_queue.reached = sequence;
            lane_queue.sent += 1;
            lane_queue.sent_bytes += bytes;
            self.in_flight_bytes += bytes;
            if lane_queue.sent.is_multiple_of(TURN_MESSAGES) {
                self.ready.rotate_left(1);
            }
            return Next::Send(Data { lane, previous, sequence, flags, body });
        }
        Next::Nothing
    }

    /// A number whose commit lets more leave, if there is one.
    #[must_use]
    pub fn next_commit(&self) -> Option<Sequence> {
        // A lane whose next message was withdrawn has none.
        self.uncommitted.iter().find_map(|lane| self.lanes.get(lane)?.next_leaves_after())
    }

    /// Takes bodies that [`Next::Load`] asked for. Those that were acknowledged meanwhile are ignored.
    pub fn loaded(&mut self, lane: Lane, bodies: impl IntoIterator<Item = (Sequence, Bytes)>) {
        let Some(lane_queue) = self.lanes.get_mut(&lane) else { return };
        for (sequence, body) in bodies {
            let index = lane_queue.messages.binary_search_by_key(&sequence, |queued| queued.sequence);
            if let Ok(index) = index
                && matches!(lane_queue.messages[index].body, Body::Stored)
            {
                lane_queue.messages[index].body = Body::Loaded(body);
            }
        }
    }

    /// Takes the lane at the front from those that are ready.
    fn unlist(&mut self) {
        let lane = self.ready.pop_front().expect("a lane is at the front");
        self.lanes.get_mut(&lane).expect("only lanes that exist are listed").is_listed = false;
    }
}
