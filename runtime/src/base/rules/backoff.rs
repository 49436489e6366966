//! How long a failed message waits. Pure: the random number is handed in.

use std::time::Duration;

/// In a second.
const NANOS: u128 = 1_000_000_000;

/// Exponential backoff with full jitter: the wait before attempt `n + 1` is a random part of
/// `first * 2^(n - 1)`, and never more than `cap`.
///
/// Full jitter, because messages that failed together for one cause must not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure. Too small burns the attempts during a short outage.
    pub first: Duration,
    /// The longest wait after any failure. Too large leaves a mailbox idle long after the cause has gone.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row; `random` spreads it evenly from zero to the bound.
    #[must_use]
    pub fn delay(&self, failures: u32, random: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(1 << doublings).min(self.cap);
        // The longest duration has 94 bits of nanoseconds, the random number 32: the product is exact.
        let drawn = bound.as_nanos() * u128::from(random) / u128::from(u32::MAX);
        let seconds = u64::try_from(drawn / NANOS).expect("it is no longer than the bound");
        Duration::new(seconds, u32::try_from(drawn % NANOS).expect("it is less than a second"))
    }
}

impl Default for Backoff {
    /// From 200 ms to 30 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(200), cap: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_wait_stays_within_its_bounds(
            failures: u32,
            random: u32,
            first in 0u64..100_000,
            cap in 0u64..100_000_000,
        ) {
            let backoff = Backoff { first: Duration::from_micros(first), cap: Duration::from_micros(cap) };
            let delay = backoff.delay(failures, random);
            prop_assert!(delay <= backoff.cap);
            prop_assert!(failures > 1 || delay <= backoff.first);
        }
    }

    #[test]
    fn a_wait_may_be_as_long_as_there_are() {
        let backoff = Backoff { first: Duration::MAX, cap: Duration::MAX };
        assert_eq!([0, u32::MAX].map(|random| backoff.delay(1, random)), [Duration::ZERO, Duration::MAX]);
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(1) };
        let bounds: Vec<_> = (1..=5).map(|failures| backoff.delay(failures, u32::MAX).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1000]);
    }
}
