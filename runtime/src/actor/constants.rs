//! Which constants of an actor type can work: with others its messages would stand still, or fail for ever, and nobody
//! would say so. Pure: judged once, when the type becomes part of a node. Every constant of the trait is named here.

use std::time::Duration;

use super::Actor;
use crate::message::address::is_actor_type;
use crate::record::budget::RESTARTS_MAX;

/// A constant of an actor type that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// Which.
    pub(crate) constant: &'static str,
    /// What it has to be, and why.
    pub(crate) reason: &'static str,
}

/// The first constant of `A` that cannot work. `DELIVERY`, `ORDER` and `WHEN_EXPIRED` can have no other values than
/// those that work. Nothing is too long: time that would end after the end of time does not end.
pub(crate) fn unusable<A: Actor>() -> Option<Unusable> {
    let rules = [
        ("TYPE", is_actor_type(A::TYPE), "it has 1 to 64 characters of a-z, 0-9, `_` and `-`"),
        ("BUDGET", A::BUDGET.restarts <= RESTARTS_MAX, "at most 1,000 restarts can be stored"),
        ("HOLDS_MAX", A::HOLDS_MAX > 0, "it must be at least 1: what may not be held would wait for ever"),
        (
            "HOLD_LIMIT",
            A::HOLD_LIMIT > Duration::ZERO,
            "it must be longer than zero: each hold would be taken back at once, and fail",
        ),
        (
            "TIME_LIMIT",
            A::TIME_LIMIT > Duration::ZERO,
            "it must be longer than zero: each handler would be cut off at its first await, and fail",
        ),
    ];
    let broken = rules.into_iter().find(|(_, holds, _)| !holds);
    broken.map(|(constant, _, reason)| Unusable { constant, reason })
}
