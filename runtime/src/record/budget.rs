//! How often something may be restarted: so many times within a period. Pure: the moment is handed in.

use std::time::Duration;

use crate::base::clock::Steady;

/// How many restarts a budget may allow: each is in the record that is stored at every failure.
pub(crate) const RESTARTS_MAX: u32 = 1000;

/// How many restarts are allowed within a period. One more than that, and the budget is spent.
///
/// Restarts are counted one by one: each stops counting when the period has passed since it. `Budget::new(0, ..)`
/// allows no restart at all.
///
/// ```
/// use everpost::{Actor, Budget, Handlers};
/// use std::time::Duration;
///
/// struct Account;
///
/// impl Actor for Account {
///     const TYPE: &'static str = "account";
///     const BUDGET: Budget = Budget::new(3, Duration::from_secs(60)); // the fourth restart within a minute pauses it
///     type State = i64;
///
///     fn handlers(_: &mut Handlers<Self>) {}
/// }
/// assert_eq!(Account::BUDGET.restarts, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// How many restarts are allowed. Too few gives up during a short outage.
    pub restarts: u32,
    /// Within which period. Too short never gives up: with a backoff, restarts may be further apart than that.
    pub within: Duration,
}

impl Budget {
    /// A budget of `restarts` within the period `within`.
    #[must_use]
    pub const fn new(restarts: u32, within: Duration) -> Self {
        Self { restarts, within }
    }
}

/// What became of a restart that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is allowed, and counts from now on.
    Within,
    /// It is not allowed, and was not counted.
    Spent,
}

/// The restarts that count, oldest first; never more than the budget allows, unless a larger budget was in force when
/// they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restarts {
    moments: Vec<Steady>,
}

impl Restarts {
    /// Those at these moments.
    pub(crate) fn new(moments: Vec<Steady>) -> Self {
        Self { moments }
    }

    /// Counts a restart at `now`, if `budget` allows it.
    pub(crate) fn count(&mut self, now: Steady, budget: &Budget) -> Verdict {
        self.forget_old(now, budget.within);
        if self.moments.len() >= usize::try_from(budget.restarts).unwrap_or(usize::MAX) {
            return Verdict::Spent;
        }
        self.moments.push(now);
        Verdict::Within
    }

    /// The moments that count, as they were when a restart was last asked for.
    pub(crate) fn moments(&self) -> &[Steady] {
        &self.moments
    }

    fn forget_old(&mut self, now: Steady, within: Duration) {
        for moment in &mut self.moments {
            // The clock was set back: a restart that lies ahead would count for as long as the clock was wrong.
            *moment = (*moment).min(now);
        }
        self.moments.retain(|moment| now.since(*moment) < within);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: u64) -> Steady {
        Steady(second * 1_000_000)
    }

    #[test]
    fn a_budget_is_spent_by_one_restart_too_many_and_comes_back_one_by_one() {
        let budget = Budget::new(2, 10 * SECOND);
        let mut restarts = Restarts::default();
        let verdicts = [0, 4, 9, 10, 13, 14].map(|second| restarts.count(at(second), &budget));
        let [yes, no] = [Verdict::Within, Verdict::Spent];
        assert_eq!(verdicts, [yes, yes, no, yes, no, yes]);
        assert_eq!(restarts.moments(), [at(10), at(14)]);
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        assert_eq!(Restarts::default().count(at(1), &Budget::new(0, SECOND)), Verdict::Spent);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up_longer_than_the_period() {
        let budget = Budget::new(1, 10 * SECOND);
        let mut restarts = Restarts::new(vec![at(1_000_000)]);
        assert_eq!(restarts.count(at(5), &budget), Verdict::Spent);
        assert_eq!(restarts.count(at(15), &budget), Verdict::Within);
    }

    proptest! {
        #[test]
        fn no_period_has_more_restarts_than_its_budget(
            steps in prop::collection::vec(0u64..20, 0..60), restarts in 0u32..5, within in 1u64..30,
        ) {
            let budget = Budget::new(restarts, Duration::from_micros(within));
            let (mut counted, mut now, mut allowed) = (Restarts::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if counted.count(Steady(now), &budget) == Verdict::Within {
                    allowed.push(now);
                }
            }
            for first in &allowed {
                let together = allowed.iter().filter(|moment| (*first..first + within).contains(moment)).count();
                prop_assert!(together <= restarts as usize, "{allowed:?}");
            }
        }
    }
}
