//! What comes next when a service of the node has failed: it has panicked, or has ended while the node goes on. Pure:
//! the moment and the random number are handed in.

use std::time::Duration;

use crate::base::clock::Steady;
use crate::base::rules::backoff::Backoff;
use crate::record::budget::{Budget, Restarts, Verdict};

/// How often a service is started anew. More is no accident any more, and who is told can still do something about it.
const BUDGET: Budget = Budget::new(5, Duration::from_secs(60));
/// How long it is left alone before. With the budget: what fails at once each time is given up on after three seconds.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// What is done about a service that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// It is started anew, within a budget. Sound where everything it goes by is outside of it, and each of its steps
    /// is whole: what a panic has left undone, the next look finds as it was.
    Restart,
    /// The node ends: what a panic has left half done is put right by the next start only, as after a crash.
    FailNode,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is started anew after this wait.
    Restart { after: Duration },
    /// The node ends.
    FailNode,
}

/// The failures of one service.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    restarts: Restarts,
}

impl Failures {
    /// It has failed once more.
    pub(crate) fn next(&mut self, policy: Policy, now: Steady, random: u32) -> Next {
        if policy == Policy::FailNode || self.restarts.count(now, &BUDGET) == Verdict::Spent {
            return Next::FailNode;
        }
        // A budget is far below this limit.
        let in_a_row = u32::try_from(self.restarts.moments().len()).unwrap_or(u32::MAX);
        Next::Restart { after: BACKOFF.delay(in_a_row, random) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_service_that_fails_again_and_again_waits_longer_each_time_and_then_ends_the_node() {
        let mut failures = Failures::default();
        let nexts: Vec<_> =
            (0..6).map(|second| failures.next(Policy::Restart, Steady(second * SECOND), u32::MAX)).collect();
        let waits = [100, 200, 400, 800, 1600].map(|millis| Next::Restart { after: Duration::from_millis(millis) });
        assert_eq!(nexts[..5], waits);
        assert_eq!(nexts[5], Next::FailNode);
    }

    #[test]
    fn one_that_fails_now_and_then_is_always_started_anew() {
        let mut failures = Failures::default();
        for minute in 0..1000 {
            let next = failures.next(Policy::Restart, Steady(minute * 60 * SECOND), u32::MAX);
            assert_eq!(next, Next::Restart { after: Duration::from_millis(100) });
        }
    }

    #[test]
    fn one_whose_steps_are_not_whole_ends_the_node_at_once() {
        assert_eq!(Failures::default().next(Policy::FailNode, Steady(7), 0), Next::FailNode);
    }
}
