//! Commits: everything durable that the node does is a transaction of effects, and this is the only caller of the
//! store's submit. What is reserved, locked, staged, changed in memory, gated and rung is decided here, in one order,
//! for all of them.

mod effect;
mod locks;
mod size;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use self::effect::{
    Acknowledged, Added, Answered, Arrivals, Arriving, Attempts, Delivered, Done, Expired, Fired, Firing, Left, Over,
    Postponed, Record, Removed, Replayed, RequestsExpired, Send, StateChange, Supervision, SupervisionChange, Timers,
    TypePaused, Withdrawn,
};
pub(crate) use self::transaction::{Committed, Refused, Transaction};
