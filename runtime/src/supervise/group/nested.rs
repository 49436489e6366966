//! How often a child of nested groups may be started before the whole gives up: budgets of nested groups multiply,
//! since a group that is started again begins with a full one. Pure.

use std::time::Duration;

use super::strategy::Restart;
use crate::record::budget::Budget;

/// A group on the way down to a child, and how it restarts what lies next on that way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) budget: Budget,
    pub(super) next: Restart,
}

/// How often a child may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Starts {
    /// The first start included.
    pub(super) starts: u64,
    /// The restarts that lead to giving up lie within this period together.
    pub(super) within: Duration,
}

/// The starts of a child below these groups, the outermost first, if it may be restarted more often than any single one
/// of them says.
pub(super) fn surprising(way: &[Level]) -> Option<Starts> {
    // A temporary one is not restarted by its own group, only with it.
    let restarting = || way.iter().filter(|level| level.next != Restart::Temporary).map(|level| level.budget);
    let starts = restarting().fold(1, |starts: u64, budget| starts.saturating_mul(u64::from(budget.restarts) + 1));
    let largest = restarting().map(|budget| u64::from(budget.restarts)).max()?;
    let within = restarting().fold(Duration::ZERO, |within, budget| within.saturating_add(budget.within));
    (starts > largest + 1).then_some(Starts { starts, within })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn level(restarts: u32, seconds: u32, next: Restart) -> Level {
        Level { budget: Budget::new(restarts, SECOND * seconds), next }
    }

    fn starts(way: &[Level]) -> Option<(u64, u64)> {
        surprising(way).map(|starts| (starts.starts, starts.within.as_secs()))
    }

    #[test]
    fn nested_budgets_multiply_and_their_periods_add_up() {
        let way = [level(3, 60, Restart::Permanent), level(4, 10, Restart::Transient), level(1, 5, Restart::Permanent)];
        assert_eq!(starts(&way), Some((4 * 5 * 2, 75)));
    }

    #[test]
    fn one_budget_is_no_surprise() {
        assert_eq!(starts(&[]), None);
        assert_eq!(starts(&[level(3, 60, Restart::Permanent)]), None);
        assert_eq!(starts(&[level(0, 60, Restart::Permanent), level(5, 1, Restart::Permanent)]), None);
        assert_eq!(starts(&[level(5, 60, Restart::Permanent), level(0, 1, Restart::Permanent)]), None);
    }

    #[test]
    fn a_temporary_one_does_not_multiply() {
        assert_eq!(starts(&[level(3, 60, Restart::Temporary), level(4, 10, Restart::Permanent)]), None);
        assert_eq!(starts(&[level(3, 60, Restart::Permanent), level(4, 10, Restart::Temporary)]), None);
        let way = [level(1, 1, Restart::Permanent), level(9, 9, Restart::Temporary), level(2, 2, Restart::Permanent)];
        assert_eq!(starts(&way), Some((2 * 3, 3)));
    }

    #[test]
    fn more_than_can_be_counted_is_as_many_as_can_be() {
        let way = [level(u32::MAX, 1, Restart::Permanent); 3];
        assert_eq!(starts(&way).unwrap().0, u64::MAX);
    }
}
