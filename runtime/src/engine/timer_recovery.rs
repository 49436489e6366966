//! The timers that the store holds become the index again, and those that run by a wall clock that was put back are set
//! right.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use everpost_persistence::{Position, ReadError};

use crate::base::clock::Now;
use crate::engine::timers::judge;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::shard::Shard;
use crate::tables;
use crate::timer::id::TimerId;
use crate::timer::identity::Digests;
use crate::timer::index::Entry;
use crate::timer::plan::Due;
use crate::timer::record::{Identity, TimerRecord};

/// Rebuilds the index with one scan. Blocks. A timer that this build cannot fire is kept, and can be cancelled.
pub(crate) fn recover(shard: &Shard) -> Result<(), ReadError> {
    let now = shard.clock.now();
    // There may be very many of one kind.
    let mut cannot: BTreeMap<Cow<'static, str>, (TimerId, usize)> = BTreeMap::new();
    let mut state = shard.timers.lock();
    let scanned = scan(shard, |timer, record| {
        let due = due(shard, record, now).unwrap_or_else(|reason| {
            cannot.entry(reason).or_insert((timer, 0)).1 += 1;
            Due::Never
        });
        state.index.set(timer, Entry::new(due, Position(0)));
        if let Some(digests) = digests_of_named(record) {
            state.named.insert(timer, digests);
        }
    });
    for (reason, (timer, timers)) in cannot {
        tracing::error!(
            node = %shard.name, %timer, timers, %reason, event = "timer cannot fire",
            "a timer cannot fire, as so many others that wait for the same; they stay in the store until they can"
        );
    }
    scanned
}

/// The wall clock was put back by more than its timers wait for: those that run by it go on from the present. Blocks.
pub(crate) fn set_right(shard: &Arc<Shard>, durable: Position) -> Result<(), ReadError> {
    let now = shard.clock.now();
    scan(shard, |timer, record| {
        // What was set since is right, and what fires is fired by whoever called this.
        let entry = shard.timers.lock().index.get(timer).filter(|entry| entry.since <= durable);
        let Some(entry @ Entry { due: Due::Wall(_), .. }) = entry else { return };
        let Ok(due) = due(shard, record, now) else { return };
        let mut state = shard.timers.lock();
        if state.index.get(timer) == Some(entry) {
            state.index.set(timer, Entry { due, ..entry });
        }
    })
}

/// The name of a record, and the timer in it.
fn scan(shard: &Shard, mut found: impl FnMut(TimerId, &[u8])) -> Result<(), ReadError> {
    shard.store.scan(&tables::TIMERS, |key, record| {
        let (partition, timer) = tables::timer_of(key);
        found(TimerId::new(partition, MessageId(timer)), record);
        ControlFlow::Continue(())
    })
}

/// When a timer is due, or why it cannot fire.
fn due(shard: &Shard, record: &[u8], now: Now) -> Result<Due, Cow<'static, str>> {
    let (record, envelope) = TimerRecord::decode(record).ok_or(UNREADABLE)?;
    let (header, _) = Header::decode(envelope).map_err(|_| UNREADABLE)?;
    let address = Address::parse(header.destination).ok_or(UNREADABLE)?;
    judge(shard, &address, &header).map_err(|unhandled| unhandled.to_string())?;
    let beat = record.plan.beat().map_err(|_| NO_ZONE)?;
    let due = record.plan.due_after_all(&beat, record.due, record.newest, now);
    Ok(record.plan.due(due))
}

fn digests_of_named(record: &[u8]) -> Option<Digests> {
    let (record, _) = TimerRecord::decode(record)?;
    match record.identity {
        Identity::Named { message, .. } => Some(Digests::read(&record.plan, u128::from_be_bytes(message))),
        Identity::Unique | Identity::Content => None,
    }
}

pub(crate) const UNREADABLE: &str = "it cannot be read by this build";
pub(crate) const NO_ZONE: &str = "its time zone is not known here";
