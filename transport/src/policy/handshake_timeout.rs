//! How long a handshake with one address may take. Pure.

use std::time::Duration;

/// A timeout that adapts to how fast an address answers. A slow path and one that leads nowhere look alike until
/// something has come back, so a handshake that was not completed in time is followed by one that may take twice as
/// long.
///
/// ```
/// use std::time::Duration;
///
/// use everpost_transport::HandshakeTimeout;
///
/// let second = Duration::from_secs(1);
/// let mut timeout = HandshakeTimeout::new(second, second * 10);
/// timeout.exceeded(second);
/// assert_eq!(timeout.current(), second * 2);
/// timeout.answered(Duration::from_millis(750));
/// assert_eq!(timeout.current(), second * 3, "four round trips");
/// ```
#[derive(Clone, Debug)]
pub struct HandshakeTimeout {
    first: Duration,
    longest: Duration,
    current: Duration,
}

impl HandshakeTimeout {
    /// Begins with `first`, and never gets longer than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, current: first.min(longest) }
    }

    /// How long the next handshake may take.
    #[must_use]
    pub const fn current(&self) -> Duration {
        self.current
    }

    /// A handshake was not completed within `within`. Of several that run side by side, those with the same timeout
    /// count once.
    pub fn exceeded(&mut self, within: Duration) {
        self.current = self.current.max(within.saturating_mul(2).min(self.longest));
    }

    /// A handshake was completed, over a path with this round trip. It takes two, and as long again when a packet is
    /// lost.
    pub fn answered(&mut self, round_trip: Duration) {
        self.current = round_trip.saturating_mul(4).max(self.first).min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_doubles_up_to_the_longest_and_handshakes_side_by_side_count_once() {
        let mut timeout = HandshakeTimeout::new(SECOND, SECOND * 6);
        let mut waited = Vec::new();
        for _ in 0..5 {
            let within = timeout.current();
            waited.push(within.as_secs());
            timeout.exceeded(within);
            timeout.exceeded(within);
            timeout.exceeded(SECOND);
        }
        assert_eq!(waited, [1, 2, 4, 6, 6]);
    }

    #[test]
    fn what_was_measured_takes_the_place_of_what_was_guessed() {
        let mut timeout = HandshakeTimeout::new(SECOND, SECOND * 16);
        for (round_trip, within) in [(SECOND * 3, 12), (SECOND / 1000, 1), (SECOND * 9, 16), (Duration::MAX, 16)] {
            timeout.answered(round_trip);
            assert_eq!(timeout.current(), SECOND * within);
        }
        assert_eq!(HandshakeTimeout::new(SECOND * 9, SECOND).current(), SECOND);
    }
}
