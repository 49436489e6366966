//! How long to wait before the next attempt to reach a peer. Pure: the random number is an argument.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait is drawn evenly from nothing up to a bound that doubles with every
/// failure. The jitter keeps many nodes that lost the same peer from returning to it in step.
///
/// ```
/// use std::time::Duration;
///
/// use everpost_transport::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
/// assert!(backoff.failed(0xfeed_beef_0000_0000) < Duration::from_millis(10));
/// assert!(backoff.failed(0xfeed_beef_0000_0000) < Duration::from_millis(20));
/// backoff.succeeded();
/// assert_eq!(backoff.failures(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff whose bound is `first` after one failure and never more than `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Counts a failure and says how long to wait. `random` is drawn evenly from all 64-bit numbers.
    pub fn failed(&mut self, random: u64) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        let nanoseconds = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let drawn = (u128::from(nanoseconds) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(drawn).expect("less than what it was drawn from"))
    }

    /// Forgets the failures. To be called when the peer has answered, not when it could merely be reached.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How many attempts have failed in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The longest that the next wait can be.
    fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    #[test]
    fn the_bound_doubles_up_to_the_longest() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let waits: Vec<u128> = (0..9).map(|_| backoff.failed(u64::MAX).as_micros()).collect();
        assert_eq!(waits, [9_999, 19_999, 39_999, 79_999, 159_999, 319_999, 639_999, 999_999, 999_999]);
    }

    #[test]
    fn the_wait_is_drawn_from_the_whole_range() {
        assert_eq!(Backoff::new(FIRST, LONGEST).failed(0), Duration::ZERO);
        assert_eq!(Backoff::new(FIRST, LONGEST).failed(1 << 63), FIRST / 2);
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        backoff.failed(1);
        backoff.failed(1);
        assert_eq!(backoff.failures(), 2);
        backoff.succeeded();
        assert_eq!(backoff.failures(), 0);
        assert_eq!(backoff.failed(1 << 63), FIRST / 2);
    }

    #[test]
    fn failures_without_end_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        backoff.failures = u32::MAX - 1;
        for _ in 0..3 {
            backoff.failed(u64::MAX);
        }
        let mut backoff = Backoff::new(FIRST, LONGEST);
        for _ in 0..100 {
            assert!(backoff.failed(u64::MAX) < LONGEST);
        }
    }
}
