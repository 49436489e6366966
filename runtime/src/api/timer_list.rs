//! Timers as people are shown them.

use crate::base::clock::{Micros, Now, Steady};
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::timer::id::TimerId;
use crate::timer::index::Entry;
use crate::timer::plan::{Due, NEVER};
use crate::timer::record::{Identity, TimerRecord};
use crate::timer::schedule::Schedule;

/// A timer that a node keeps. Made by [`Timers::list`](crate::Timers::list) and [`Timers::get`](crate::Timers::get).
/// Moments are wall time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timer {
    /// Names it, as long as it is kept.
    pub id: TimerId,
    /// The name that it was set under, if it was.
    pub name: Option<String>,
    /// Where its message goes.
    pub address: Address,
    /// The actor whose turn set it; absent when it was set from outside.
    pub sender: Option<Address>,
    /// The name of the type of its message.
    pub message: String,
    /// When it sends that.
    pub schedule: Schedule,
    /// When it was set.
    pub set_at: Micros,
    /// When the next tick is due; absent when there is none that this node can send, see the log of its start.
    pub next_due: Option<Micros>,
    /// Whether a tick is due that is held back, because there is no room for it.
    pub is_held_back: bool,
    /// When it sent something last, without what was triggered.
    pub last_fired: Option<Micros>,
    /// How many ticks it has sent since it was set, without those that were triggered.
    pub fired: u64,
    /// How many ticks were left out since it was set, because they could not be sent in time: as its
    /// [`Missed`](crate::Missed) says, and those beyond its window and number.
    pub missed: u64,
}

impl Timer {
    /// Reads a record, of a timer of which the index knows this; none for bytes that this build cannot read.
    pub(crate) fn decode(id: TimerId, record: &[u8], entry: Option<Entry>, now: Now) -> Option<Self> {
        let (record, envelope) = TimerRecord::decode(record)?;
        let (header, _) = Header::decode(envelope).ok()?;
        let next_due = match entry.map_or_else(|| record.plan.due(record.due), |entry| entry.due) {
            Due::Never | Due::Wall(Micros(NEVER)) => None,
            Due::Steady(Steady(due)) | Due::Wall(Micros(due)) => Some(record.plan.wall_of(due, now)),
        };
        Some(Self {
            id,
            name: match record.identity {
                Identity::Named { name, .. } => Some(name),
                Identity::Unique | Identity::Content => None,
            },
            address: Address::parse(header.destination)?,
            sender: header.sender.and_then(Address::parse),
            message: header.message.to_owned(),
            schedule: Schedule::of(record.plan),
            set_at: Micros(record.set_at),
            next_due,
            is_held_back: entry.is_some_and(|entry| entry.is_held),
            last_fired: (record.fired_at != 0).then_some(Micros(record.fired_at)),
            fired: record.fired,
            missed: record.missed,
        })
    }
}
