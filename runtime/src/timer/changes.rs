//! What a turn, or a call from outside, changes about timers: set and cancelled in the commit of everything else.

use bytes::Bytes;
use everpost_persistence::Stage;

use super::id::TimerId;
use super::identity::{Digests, KnownBy, check_name, id_of_name};
use super::plan::Due;
use super::record::{Identity, TimerRecord};
use super::schedule::Schedule;
use crate::actor::Actor;
use crate::base::clock::Now;
use crate::core::Core;
use crate::message::address::Address;
use crate::message::envelope::{Origin, TICK_BYTES, seal};
use crate::message::refusal::Refusal;
use crate::message::{Message, MessageId};

/// A due moment in a record takes so many bytes at most.
const MOMENT_BYTES_MAX: usize = 10;

/// A timer that is to be set.
#[derive(Clone, Debug)]
pub(crate) struct NewTimer {
    pub(crate) timer: TimerId,
    pub(super) record: TimerRecord,
    envelope: Bytes,
    pub(super) encoded: Bytes,
    /// Of one that is not unique.
    pub(super) digests: Option<Digests>,
}

impl NewTimer {
    pub(super) fn new(timer: TimerId, record: TimerRecord, envelope: Bytes, digests: Option<Digests>) -> Self {
        let encoded = record.encode(&envelope);
        Self { timer, record, envelope, encoded, digests }
    }

    pub(super) fn due(&self) -> Due {
        self.record.plan.due(self.record.due)
    }

    /// The same timer, due then.
    pub(super) fn is_due_at(&mut self, due: u64) {
        self.record.due = due;
        self.encoded = self.record.encode(&self.envelope);
    }

    /// The room that its ticks need as much as it does itself: so what is too large is found when it is set.
    pub(crate) fn bytes(&self) -> usize {
        (self.encoded.len() + MOMENT_BYTES_MAX) * if self.record.plan.repeats() { 2 } else { 1 }
    }
}

/// The changes of one submission.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerChanges {
    pub(super) set: Vec<NewTimer>,
    pub(super) cancelled: Vec<TimerId>,
}

impl TimerChanges {
    /// Sets a timer, in the place of one of the same name that these changes would set.
    pub(crate) fn set(&mut self, timer: NewTimer) {
        self.set.retain(|new| new.timer != timer.timer);
        self.set.push(timer);
    }

    /// Cancels a timer, also one that these changes would set.
    pub(crate) fn cancel(&mut self, timer: TimerId) {
        let was_there = !self.set.iter().any(|new| new.timer == timer && new.digests.is_none());
        self.set.retain(|new| new.timer != timer);
        if was_there {
            self.cancelled.push(timer);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.cancelled.is_empty()
    }

    /// Puts the changes into the submission.
    pub(crate) fn stage(&self, stage: &mut Stage<'_>) {
        self.cancelled.iter().for_each(|timer| stage.delete(timer.key()));
        self.set.iter().for_each(|new| stage.put(new.timer.key(), new.encoded.clone()));
    }

    /// How many bytes each of the records has that they leave behind.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.set.iter().map(|timer| timer.encoded.len() + MOMENT_BYTES_MAX)
    }

    /// How many bytes they take in a submission.
    pub(crate) fn bytes(&self) -> usize {
        self.set.iter().map(NewTimer::bytes).sum()
    }
}

impl Core {
    /// A timer that sends `message` to `address` by this schedule, or why it cannot be set. One that is known by itself has the
    /// name of the message that it keeps.
    pub(crate) fn new_timer<A: Actor, M: Message>(
        &self,
        address: &Address,
        origin: Origin<'_>,
        message: &M,
        schedule: Schedule,
        known_by: KnownBy<'_>,
    ) -> Result<NewTimer, Refusal> {
        let plan = schedule.into_plan();
        let (timer, identity, digests) = match known_by {
            KnownBy::Itself => (self.timer_id(address, origin.id), Identity::Unique, None),
            KnownBy::Content => {
                let digests = Digests::of(&plan, address.as_str(), message)?;
                (self.timer_id(address, digests.id()), Identity::Content, Some(digests))
            }
            KnownBy::Name(name) => {
                check_name(name)?;
                let digests = Digests::of(&plan, address.as_str(), message)?;
                let identity = Identity::Named { name: name.to_owned(), message: digests.message.to_be_bytes() };
                (self.timer_of_name(name), identity, Some(digests))
            }
        };
        address.check_length()?;
        let remote = self.remote(address);
        if remote.is_none() && !self.kinds.get(A::TYPE).is_some_and(|kind| kind.handles(M::NAME)) {
            return Err(Refusal::NotHandled { actor_type: A::TYPE, message: M::NAME });
        }
        let origin = Origin { id: timer.message(), ..origin };
        let envelope = seal(address.as_str(), origin, message).map_err(Refusal::Encode)?;
        self.check_size(remote.as_ref(), envelope.len() + TICK_BYTES)?;
        let now = Now { wall: origin.sent_at, ..self.clock.now() };
        let due = plan.beat().ok().and_then(|beat| plan.first(&beat, now)).unwrap_or(u64::MAX);
        let present = plan.present(now);
        let record = TimerRecord::new(due, plan, identity, present, now.wall);
        Ok(NewTimer::new(timer, record, envelope, digests))
    }

    pub(crate) fn timer_id(&self, address: &Address, name: MessageId) -> TimerId {
        TimerId::new(address.partition(self.store.partitions()), name)
    }

    /// The timer of this name, wherever its message goes.
    pub(crate) fn timer_of_name(&self, name: &str) -> TimerId {
        TimerId::of_name(id_of_name(name), self.store.partitions())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use everpost_persistence::Partition;

    use super::*;
    use crate::base::clock::Micros;
    use crate::message::envelope::seal;

    #[derive(Debug, serde::Serialize, serde::Deserialize, everpost::Message)]
    struct Tick {
        number: u32,
    }

    pub(in crate::timer) fn timer(name: u128) -> TimerId {
        TimerId::new(Partition(0), MessageId(name))
    }

    /// A timer that is due then and sends this number.
    pub(in crate::timer) fn new_timer(
        name: u128,
        due: u64,
        schedule: Schedule,
        number: u32,
        known_by: KnownBy<'_>,
    ) -> NewTimer {
        let (tick, plan) = (Tick { number }, schedule.into_plan());
        let envelope = seal("box/a", Origin::plain(MessageId(name), Micros(5)), &tick).unwrap();
        let digests = Digests::of(&plan, "box/a", &tick).unwrap();
        let (identity, digests) = match known_by {
            KnownBy::Itself => (Identity::Unique, None),
            KnownBy::Content => (Identity::Content, Some(digests)),
            KnownBy::Name(name) => {
                (Identity::Named { name: name.into(), message: digests.message.to_be_bytes() }, Some(digests))
            }
        };
        NewTimer::new(timer(name), TimerRecord::new(due, plan, identity, 5, Micros(5)), envelope, digests)
    }

    #[test]
    fn a_timer_that_is_set_and_cancelled_by_one_turn_leaves_no_trace() {
        let new = |name, known_by| new_timer(name, 1, Schedule::after(std::time::Duration::ZERO), 1, known_by);
        let mut changes = TimerChanges::default();
        assert!(changes.is_empty());
        changes.set(new(1, KnownBy::Itself));
        assert!(
            changes.sizes().eq([changes.bytes()]) && changes.bytes() == changes.set[0].encoded.len() + MOMENT_BYTES_MAX
        );
        changes.cancel(timer(1));
        assert!(changes.is_empty());
        changes.cancel(timer(2));
        assert!(!changes.is_empty() && changes.sizes().next().is_none());
        // One of that name may have been there before this turn.
        let mut changes = TimerChanges::default();
        changes.set(new(3, KnownBy::Name("a")));
        changes.set(new(3, KnownBy::Name("a")));
        assert_eq!(changes.set.len(), 1);
        changes.cancel(timer(3));
        assert_eq!((changes.set.len(), &*changes.cancelled), (0, [timer(3)].as_slice()));
    }
}
