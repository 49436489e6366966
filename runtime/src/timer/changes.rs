//! What a turn, or a call from outside, changes about timers: set and cancelled in the commit of everything else.

use bytes::Bytes;

use super::id::TimerId;
use super::index::NEVER;
use super::record::TimerRecord;
use super::schedule::{Rhythm, Schedule};
use crate::actor::Actor;
use crate::address::Address;
use crate::clock::Micros;
use crate::core::Core;
use crate::envelope::Origin;
use crate::message::{Message, MessageId};
use crate::refusal::Refusal;

/// A timer that is to be set.
#[derive(Clone, Debug)]
pub(crate) struct NewTimer {
    pub(crate) timer: TimerId,
    pub(crate) due: Micros,
    pub(crate) record: Bytes,
    /// It stays when it has fired.
    pub(crate) repeats: bool,
}

impl NewTimer {
    /// The room that its ticks need as much as it does itself: so what is too large is found when it is set.
    pub(crate) fn bytes(&self) -> usize {
        self.record.len() * if self.repeats { 2 } else { 1 }
    }
}

/// The changes of one submission.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerChanges {
    pub(super) set: Vec<NewTimer>,
    pub(super) cancelled: Vec<TimerId>,
}

impl TimerChanges {
    pub(crate) fn set(&mut self, timer: NewTimer) {
        self.set.push(timer);
    }

    /// Cancels a timer, also one that these changes would set.
    pub(crate) fn cancel(&mut self, timer: TimerId) {
        let before = self.set.len();
        self.set.retain(|new| new.timer != timer);
        if self.set.len() == before {
            self.cancelled.push(timer);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.cancelled.is_empty()
    }

    /// Whether they leave more behind than they remove.
    pub(crate) fn grow(&self) -> bool {
        !self.set.is_empty()
    }

    /// How many bytes they take in a submission.
    pub(crate) fn bytes(&self) -> usize {
        self.set.iter().map(NewTimer::bytes).sum()
    }
}

impl Core {
    /// A timer that sends `message` to `address` by this schedule, or why it cannot be set. Its name is that of the message
    /// that it keeps.
    pub(crate) fn new_timer<A: Actor, M: Message>(
        &self,
        address: &Address,
        origin: Origin<'_>,
        message: &M,
        schedule: Schedule,
    ) -> Result<NewTimer, Refusal> {
        let (_, envelope) = self.seal::<A, M>(address, origin, message)?;
        let due = schedule.first(origin.sent_at).unwrap_or(NEVER);
        let rhythm = schedule.into_rhythm();
        let repeats = rhythm != Rhythm::Once;
        let record = TimerRecord::new(due, rhythm).encode(&envelope);
        Ok(NewTimer { timer: self.timer_id(address, origin.id), due, record, repeats })
    }

    pub(crate) fn timer_id(&self, address: &Address, name: MessageId) -> TimerId {
        TimerId::new(address.partition(self.store.partitions()), name)
    }
}

#[cfg(test)]
mod tests {
    use everpost_persistence::Partition;

    use super::*;

    #[test]
    fn a_timer_that_is_set_and_cancelled_by_one_turn_leaves_no_trace() {
        let timer = |name| TimerId::new(Partition(0), MessageId(name));
        let mut changes = TimerChanges::default();
        assert!(changes.is_empty());
        changes.set(NewTimer { timer: timer(1), due: Micros(1), record: Bytes::from_static(b"record"), repeats: true });
        assert!(changes.grow() && changes.bytes() == 12);
        changes.cancel(timer(1));
        assert!(changes.is_empty());
        changes.cancel(timer(2));
        assert!(!changes.is_empty() && !changes.grow());
    }
}
