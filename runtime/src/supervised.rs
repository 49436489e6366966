//! How a keyed actor, an actor type or a group fares: its restart budget, and whether it is paused. What the store keeps of
//! it is specified in `docs/FORMAT.md`.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Restarts, Verdict};
use crate::clock::{Micros, Now, Steady};

const SUPERVISION_VERSION: u8 = 1;

/// Why and since when an address or an actor type is paused: it keeps accepting, and handles nothing until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: SystemTime,
}

/// Why something is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PauseReason {
    /// Somebody asked for it, for this reason.
    Asked(String),
    /// The restart budget of the actor ([`Actor::BUDGET`](crate::Actor::BUDGET)) is spent; this was the last failure.
    BudgetSpent(String),
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(why) => write!(f, "asked for: {why}"),
            Self::BudgetSpent(error) => write!(f, "the restart budget is spent: {error}"),
        }
    }
}

/// What is known of an actor, or of an actor type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supervised {
    restarts: Restarts,
    pub(crate) paused: Option<Paused>,
}

#[derive(Serialize, Deserialize)]
struct SupervisionRecord<'a> {
    version: u8,
    /// An address, the name of an actor type, or `group ` and the path of a group.
    name: &'a str,
    restarts: Vec<u64>,
    paused: Option<PausedRecord>,
}

#[derive(Serialize, Deserialize)]
struct PausedRecord {
    reason: PauseReason,
    since: u64,
}

impl Supervised {
    /// Paused, with nothing else to say.
    pub(crate) fn paused(paused: Paused) -> Self {
        Self { restarts: Restarts::default(), paused: Some(paused) }
    }

    /// Restarted at these moments, and not paused.
    pub(crate) fn restarted(restarts: Restarts) -> Self {
        Self { restarts, paused: None }
    }

    pub(crate) fn into_restarts(self) -> Restarts {
        self.restarts
    }

    /// Counts a failure of the actor. When that spends its budget it is paused, and true is returned.
    pub(crate) fn failed(&mut self, now: Now, budget: &Budget, error: &str) -> bool {
        if self.paused.is_some() || self.restarts.count(now.steady, budget) == Verdict::Within {
            return false;
        }
        self.paused = Some(Paused { reason: PauseReason::BudgetSpent(error.to_owned()), since: now.wall.into() });
        true
    }

    /// Whether nothing of it is worth keeping.
    pub(crate) fn is_over(&self, now: Steady, budget: &Budget) -> bool {
        self.paused.is_none() && self.restarts.moments().iter().all(|moment| now.since(*moment) >= budget.within)
    }

    pub(crate) fn encode(&self, name: &str) -> Bytes {
        let paused = self
            .paused
            .as_ref()
            .map(|paused| PausedRecord { reason: paused.reason.clone(), since: Micros::from(paused.since).0 });
        let restarts = self.restarts.moments().iter().map(|moment| moment.0).collect();
        let record = SupervisionRecord { version: SUPERVISION_VERSION, name, restarts, paused };
        postcard::to_allocvec(&record).expect("plain values can be encoded").into()
    }

    /// The name and what is known of it; none for bytes that this build cannot read.
    pub(crate) fn decode(record: &[u8]) -> Option<(&str, Self)> {
        let record: SupervisionRecord<'_> = postcard::from_bytes(record).ok()?;
        let SupervisionRecord { version, name, restarts, paused } = record;
        let paused = paused.map(|PausedRecord { reason, since }| Paused { reason, since: Micros(since).into() });
        let restarts = Restarts::new(restarts.into_iter().map(Steady).collect());
        (version == SUPERVISION_VERSION).then_some((name, Self { restarts, paused }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(moment: u64) -> Now {
        Now { steady: Steady(moment), wall: Micros(moment) }
    }

    #[test]
    fn a_record_reads_back_and_its_bytes_are_fixed() {
        let mut supervised = Supervised::default();
        let budget = Budget::new(1, Duration::from_secs(1));
        assert!(!supervised.failed(at(5), &budget, "first"));
        assert!(supervised.failed(at(7), &budget, "last"));
        let record = supervised.encode("a/b");
        assert_eq!(record, [&[1, 3][..], b"a/b", &[1, 5, 1, 1, 4], b"last", &[7]].concat());
        assert_eq!(Supervised::decode(&record), Some(("a/b", supervised)));
        assert_eq!(Supervised::decode(&[2, 0, 0, 0]), None);
    }

    #[test]
    fn a_paused_actor_stays_paused_and_a_budget_that_is_whole_again_is_forgotten() {
        let budget = Budget::new(1, Duration::from_micros(10));
        let mut supervised = Supervised::default();
        supervised.failed(at(5), &budget, "first");
        assert!(!supervised.is_over(Steady(14), &budget));
        assert!(supervised.is_over(Steady(15), &budget));
        assert!(supervised.failed(at(6), &budget, "second"));
        assert!(!supervised.failed(at(7), &budget, "third"), "told once");
        assert!(!supervised.is_over(Steady(1000), &budget));
    }
}
