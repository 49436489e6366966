//! Timers before they are set: which they are, when they are due first, and whether what they send can be sent.

use crate::base::clock::Now;
use crate::message::address::Address;
use crate::message::envelope::{Origin, TICK_BYTES, seal};
use crate::message::refusal::Refusal;
use crate::message::{Message, MessageId};
use crate::shard::Shard;
use crate::timer::identity::{Digests, KnownBy, check_name, id_of_name};
use crate::timer::record::{Identity, TimerRecord};
use crate::timer::schedule::Schedule;
use crate::timer::timer_ref::TimerRef;
use crate::timer::{NewTimer, TimerId};

/// A timer that sends `message` to `address` by this schedule, or why it cannot be set. One that is known by itself has
/// the name of the message that it keeps.
pub(crate) fn new_timer<M: Message>(
    shard: &Shard,
    actor_type: &'static str,
    address: &Address,
    origin: Origin<'_>,
    message: &M,
    schedule: Schedule,
    known_by: KnownBy<'_>,
) -> Result<NewTimer, Refusal> {
    let plan = schedule.into_plan();
    let (timer, identity, digests) = match known_by {
        KnownBy::Itself => (timer_id(shard, address, origin.id), Identity::Unique, None),
        KnownBy::Content => {
            let digests = Digests::of(&plan, address.as_str(), message)?;
            (timer_id(shard, address, digests.id()), Identity::Content, Some(digests))
        }
        KnownBy::Name(name) => {
            check_name(name)?;
            let digests = Digests::of(&plan, address.as_str(), message)?;
            let identity = Identity::Named { name: name.to_owned(), message: digests.message.to_be_bytes() };
            (timer_of_name(shard, name), identity, Some(digests))
        }
    };
    address.check_length()?;
    let remote = shard.remote(address);
    if remote.is_none() && !shard.actor_types.get(actor_type).is_some_and(|actor_type| actor_type.handles(M::NAME)) {
        return Err(Refusal::NotHandled { actor_type, message: M::NAME });
    }
    let origin = Origin { id: timer.message(), ..origin };
    let envelope = seal(address.as_str(), origin, message).map_err(Refusal::Encode)?;
    shard.check_size(remote.as_ref(), envelope.len() + TICK_BYTES)?;
    let now = Now { wall: origin.sent_at, ..shard.clock.now() };
    let due = plan.beat().ok().and_then(|beat| plan.first(&beat, now)).unwrap_or(u64::MAX);
    let present = plan.present(now);
    let record = TimerRecord::new(due, plan, identity, present, now.wall);
    Ok(NewTimer::new(timer, record, envelope, digests))
}

pub(crate) fn timer_id(shard: &Shard, address: &Address, name: MessageId) -> TimerId {
    TimerId::new(address.partition(shard.store.partitions()), name)
}

/// The timer of this name, wherever its message goes.
pub(crate) fn timer_of_name(shard: &Shard, name: &str) -> TimerId {
    TimerId::of_name(id_of_name(name), shard.store.partitions())
}

/// The timer that is meant.
pub(crate) fn timer_meant(shard: &Shard, which: TimerRef<'_>) -> TimerId {
    match which {
        TimerRef::Name(name) => timer_of_name(shard, name),
        TimerRef::Id(timer) => timer,
    }
}
