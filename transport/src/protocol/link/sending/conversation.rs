//! The beginning and the end of a conversation: from where the lanes go on, and what the peer does not take.

use rustc_hash::FxHashMap;

use super::Sending;
use crate::protocol::link::error::ResumeError;
use crate::protocol::link::lane_queue::LaneQueue;
use crate::protocol::link::message::{Lane, Sequence};
use crate::protocol::link::terms::Terms;

impl Sending {
    /// The store of the peer is another one than before, or this process has just started: `acknowledged` is all that
    /// the peer's present store is known to have.
    pub fn reset_acknowledged(&mut self, acknowledged: impl IntoIterator<Item = (Lane, Sequence)>) {
        self.lanes.values_mut().for_each(|lane_queue| lane_queue.acknowledged = Sequence(0));
        for (lane, sequence) in acknowledged {
            self.lanes.entry(lane).or_insert_with(|| LaneQueue::new(lane, None)).acknowledged = sequence;
        }
    }

    /// A conversation begins: the peer's store has the lanes up to `cursors`, and takes what `terms` say. `settled` is
    /// called for each message that it has already, as for an acknowledgement.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] when the two stores do not fit together.
    pub fn resume(
        &mut self,
        cursors: &FxHashMap<Lane, Sequence>,
        terms: Terms,
        mut settled: impl FnMut(Lane, Sequence),
    ) -> Result<(), ResumeError> {
        self.interrupted();
        for (lane, lane_queue) in &self.lanes {
            lane_queue.check(*lane, cursors.get(lane).copied().unwrap_or_default())?;
        }
        if let Some((lane, cursor)) =
            cursors.iter().find(|(lane, cursor)| cursor.0 > 0 && !self.lanes.contains_key(lane))
        {
            return Err(ResumeError::Unknown { lane: *lane, cursor: *cursor });
        }
        let terms = self.terms.insert(terms);
        for (lane, lane_queue) in &mut self.lanes {
            lane_queue.begin(*lane, terms);
            // Whatever an earlier conversation has sent is there by now, or will never be.
            lane_queue.reached = cursors.get(lane).copied().unwrap_or_default();
        }
        let lanes: Vec<Lane> = self.lanes.keys().copied().collect();
        for lane in lanes {
            if let Some(cursor) = cursors.get(&lane) {
                self.settle(lane, *cursor, &mut settled);
            }
            self.list(lane);
        }
        Ok(())
    }

    /// The connection is gone: everything that was not acknowledged is sent again on the next one.
    pub fn interrupted(&mut self) {
        self.terms = None;
        self.in_flight_bytes = 0;
        self.ready.clear();
        self.uncommitted.clear();
        for lane_queue in self.lanes.values_mut() {
            (lane_queue.sent, lane_queue.sent_bytes, lane_queue.is_open, lane_queue.is_listed) = (0, 0, false, false);
        }
    }

    /// The peer does not take this message. Its lane waits until the next conversation; what was sent before it may
    /// still be acknowledged, what was sent after it is not in flight any more. False for a message that is not there.
    pub fn stopped(&mut self, lane: Lane, sequence: Sequence) -> bool {
        let Some(lane_queue) = self.lanes.get_mut(&lane) else { return false };
        let Ok(index) = lane_queue.messages.binary_search_by_key(&sequence, |queued| queued.sequence) else {
            return false;
        };
        (lane_queue.is_open, lane_queue.too_large) = (false, None);
        let refused = lane_queue.messages.range(index.min(lane_queue.sent)..lane_queue.sent);
        let bytes: usize = refused.map(|queued| queued.bytes as usize).sum();
        lane_queue.sent = lane_queue.sent.min(index);
        lane_queue.sent_bytes -= bytes;
        // Nothing from it on is taken in this conversation.
        lane_queue.reached = lane_queue.before(lane_queue.sent);
        self.in_flight_bytes -= bytes;
        true
    }
}
