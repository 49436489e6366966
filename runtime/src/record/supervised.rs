//! How a keyed actor, an actor type or a group fares: its restart budget, and whether it is paused. What the store
//! keeps of it is specified in `docs/FORMAT.md`.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::clock::{Micros, Now, Steady};
use crate::record::budget::{Budget, Restarts, Verdict};

/// With a suspicion.
const SUPERVISION_VERSION: u8 = 2;
/// Without one. Written where there is none, so that older builds read it.
const SUPERVISION_VERSION_1: u8 = 1;

/// Why and since when an address or an actor type is paused: it keeps accepting, and handles nothing until it is
/// resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paused {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Micros,
}

/// Why something is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PauseReason {
    /// Somebody asked for it, for this reason.
    Asked(String),
    /// The restart budget of the actor ([`Actor::BUDGET`](crate::Actor::BUDGET)) is spent; this was the last failure.
    BudgetSpent(String),
    /// The process died while nothing but the state of the actor was in flight: it was loaded, encoded or dropped. It
    /// is not loaded any more, not for a query either, until the actor is resumed.
    KilledTheProcess {
        /// How often it died while everything else stood still.
        deaths: u32,
    },
    /// The state of the actor would be larger than a commit may be. The message that would make it so waits, with all
    /// others, and counts no attempt.
    StateTooLarge {
        /// The size of the state.
        bytes: u64,
        /// How large a commit may be.
        bytes_max: u64,
        /// The setting of the store that this follows from.
        setting: String,
    },
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(why) => write!(f, "asked for: {why}"),
            Self::BudgetSpent(error) => write!(f, "the restart budget is spent: {error}"),
            Self::KilledTheProcess { deaths } => write!(
                f,
                "the process died {deaths} times of its state, alone, while that was loaded, encoded or dropped; it \
                 and all messages are kept: start a build that can do so, and resume the actor"
            ),
            Self::StateTooLarge { bytes, bytes_max, setting } => write!(
                f,
                "its state would have {bytes} bytes, and a commit may have {bytes_max} with all else that a turn does, \
                 which follows from `store.{setting}`; the state of before and all messages are kept: raise that \
                 setting, or start a build that keeps less in one state (many small actors instead of a large one), \
                 and resume the actor"
            ),
        }
    }
}

/// What is known of an actor, or of an actor type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supervised {
    restarts: Restarts,
    pub(crate) paused: Option<Paused>,
    /// The process may have died of its state, which has its trial alone; so often it has died there.
    pub(crate) suspicion: Option<u32>,
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
        Self { paused: Some(paused), ..Self::default() }
    }

    /// Pauses it, and nothing else: what is known of it besides stays. False when it is paused already for a reason
    /// that says more: paused for another, its state could be loaded again.
    pub(crate) fn pause(&mut self, paused: Paused) -> bool {
        let may = self.barred().is_none();
        if may {
            self.paused = Some(paused);
        }
        may
    }

    /// Lets it go on, with its whole budget. A suspicion stays: the process would die of the state without end if
    /// nobody counted. False, and nothing has changed, when it is not paused.
    pub(crate) fn resume(&mut self) -> bool {
        let was_paused = self.paused.take().is_some();
        if was_paused {
            self.restarts = Restarts::default();
        }
        was_paused
    }

    /// Restarted at these moments, and not paused.
    pub(crate) fn restarted(restarts: Restarts) -> Self {
        Self { restarts, ..Self::default() }
    }

    pub(crate) fn into_restarts(self) -> Restarts {
        self.restarts
    }

    /// Counts a failure of the actor. When that spends its budget it is paused, and true is returned.
    pub(crate) fn failed(&mut self, now: Now, budget: &Budget, error: &str) -> bool {
        if self.paused.is_some() || self.restarts.count(now.steady, budget) == Verdict::Within {
            return false;
        }
        self.paused = Some(Paused { reason: PauseReason::BudgetSpent(error.to_owned()), since: now.wall });
        true
    }

    /// The state is on trial after a death of the process: when it was in flight at that, and was on trial before, it
    /// died of it once more. True when that was the last time, and it is paused.
    pub(crate) fn suspect(&mut self, in_flight: bool, deaths_max: u32, now: Micros) -> bool {
        let deaths = self.suspicion.map_or(0, |deaths| deaths.saturating_add(u32::from(in_flight)));
        let is_spent = deaths >= deaths_max;
        self.suspicion = (!is_spent).then_some(deaths);
        if is_spent {
            self.paused = Some(Paused { reason: PauseReason::KilledTheProcess { deaths }, since: now });
        }
        is_spent
    }

    /// Why its state must not be loaded, if it must not.
    pub(crate) fn barred(&self) -> Option<&PauseReason> {
        let reason = &self.paused.as_ref()?.reason;
        matches!(reason, PauseReason::KilledTheProcess { .. }).then_some(reason)
    }

    /// Whether there is nothing to say of it.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing of it is worth keeping.
    pub(crate) fn is_over(&self, now: Steady, budget: &Budget) -> bool {
        self.paused.is_none()
            && self.suspicion.is_none()
            && self.restarts.moments().iter().all(|moment| now.since(*moment) >= budget.within)
    }

    pub(crate) fn encode(&self, name: &str) -> Bytes {
        let paused =
            self.paused.as_ref().map(|paused| PausedRecord { reason: paused.reason.clone(), since: paused.since.0 });
        let restarts = self.restarts.moments().iter().map(|moment| moment.0).collect();
        let version = if self.suspicion.is_some() { SUPERVISION_VERSION } else { SUPERVISION_VERSION_1 };
        let record = SupervisionRecord { version, name, restarts, paused };
        let record = match self.suspicion {
            Some(deaths) => postcard::to_allocvec(&(record, deaths)),
            None => postcard::to_allocvec(&record),
        };
        record.expect("plain values can be encoded").into()
    }

    /// The name and what is known of it; none for bytes that this build cannot read.
    pub(crate) fn decode(record: &[u8]) -> Option<(&str, Self)> {
        let (record, rest) = postcard::take_from_bytes::<SupervisionRecord<'_>>(record).ok()?;
        let SupervisionRecord { version, name, restarts, paused } = record;
        let suspicion = match version {
            SUPERVISION_VERSION => Some(postcard::from_bytes(rest).ok()?),
            SUPERVISION_VERSION_1 => None,
            _ => return None,
        };
        let paused = paused.map(|PausedRecord { reason, since }| Paused { reason, since: Micros(since) });
        let restarts = Restarts::new(restarts.into_iter().map(Steady).collect());
        Some((name, Self { restarts, paused, suspicion }))
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
        assert_eq!(Supervised::decode(&[2, 0, 0, 0]), None, "a suspicion is missing");
        assert_eq!(Supervised::decode(&[3, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_state_is_paused_when_the_process_has_died_of_it_alone_as_often_as_it_may() {
        let mut supervised = Supervised::default();
        assert!(!supervised.suspect(true, 2, Micros(7)), "in company");
        assert_eq!(supervised.encode("a/b"), [&[2, 3][..], b"a/b", &[0, 0, 0]].concat());
        assert!(!supervised.suspect(true, 2, Micros(7)));
        assert!(!supervised.suspect(false, 2, Micros(7)), "of something else");
        let record = supervised.encode("a/b");
        assert_eq!(record, [&[2, 3][..], b"a/b", &[0, 0, 1]].concat());
        assert_eq!(Supervised::decode(&record), Some(("a/b", supervised.clone())));
        assert!(supervised.barred().is_none() && !supervised.is_plain());
        assert!(!supervised.is_over(Steady(u64::MAX), &Budget::new(1, Duration::ZERO)));
        assert!(supervised.suspect(true, 2, Micros(7)));
        assert!(supervised.barred().is_some() && supervised.suspicion.is_none());
        let record = supervised.encode("a/b");
        assert_eq!(record, [&[1, 3][..], b"a/b", &[0, 1, 2, 2, 7]].concat());
        assert_eq!(Supervised::decode(&record), Some(("a/b", supervised)));
    }

    #[test]
    fn an_order_changes_nothing_but_the_pause_and_one_that_changes_nothing_says_so() {
        let asked = || Paused { reason: PauseReason::Asked("why not".into()), since: Micros(7) };
        let budget = Budget::new(1, Duration::from_secs(1));
        let mut supervised = Supervised::default();
        supervised.failed(at(5), &budget, "first");
        supervised.suspect(true, 2, Micros(6));
        let before = supervised.clone();
        assert!(!supervised.resume(), "it is not paused");
        assert_eq!(supervised, before);
        assert!(supervised.pause(asked()));
        assert_eq!(supervised, Supervised { paused: Some(asked()), ..before });
        assert!(supervised.resume());
        assert_eq!(supervised, Supervised { suspicion: Some(0), ..Supervised::default() }, "with its whole budget");

        assert!(!supervised.suspect(true, 2, Micros(8)) && supervised.suspect(true, 2, Micros(9)));
        let barred = supervised.clone();
        assert!(!supervised.pause(asked()));
        assert_eq!(supervised, barred);
        assert!(supervised.resume() && supervised.is_plain());
    }

    #[test]
    fn the_bytes_of_a_state_that_is_too_large_are_fixed() {
        let reason = PauseReason::StateTooLarge { bytes: 300, bytes_max: 5, setting: "q".into() };
        let supervised = Supervised::paused(Paused { reason, since: Micros(7) });
        let record = supervised.encode("a/b");
        assert_eq!(record, [&[1, 3][..], b"a/b", &[0, 1, 3, 172, 2, 5, 1], b"q", &[7]].concat());
        assert_eq!(Supervised::decode(&record), Some(("a/b", supervised)));
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
