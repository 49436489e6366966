//! How long a handshake with one address may take. Pure.

use std::time::Duration;

/// What is known of how fast an address answers. Nobody can tell a path that is slow from one that leads nowhere before something
/// has come back, so a handshake that was not finished in time is followed by one that may take twice as long.
#[derive(Clone, Debug)]
pub struct Patience {
    first: Duration,
    longest: Duration,
    within: Duration,
}

impl Patience {
    /// Waits for `first`, and never for more than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, within: first.min(longest) }
    }

    /// How long the next handshake may take.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// A handshake was not finished within `within`. Several may be under way at a time: those that could take as long as each
    /// other count once.
    pub fn exceeded(&mut self, within: Duration) {
        self.within = self.within.max(within.saturating_mul(2).min(self.longest));
    }

    /// A handshake was finished, over a path with this round trip. It takes two, and as long again when a packet is lost.
    pub fn answered(&mut self, round_trip: Duration) {
        self.within = round_trip.saturating_mul(4).max(self.first).min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_doubles_up_to_the_longest_and_handshakes_side_by_side_count_once() {
        let mut patience = Patience::new(SECOND, SECOND * 6);
        let mut waited = Vec::new();
        for _ in 0..5 {
            let within = patience.within();
            waited.push(within.as_secs());
            patience.exceeded(within);
            patience.exceeded(within);
            patience.exceeded(SECOND);
        }
        assert_eq!(waited, [1, 2, 4, 6, 6]);
    }

    #[test]
    fn what_was_measured_takes_the_place_of_what_was_guessed() {
        let mut patience = Patience::new(SECOND, SECOND * 16);
        for (round_trip, within) in [(SECOND * 3, 12), (SECOND / 1000, 1), (SECOND * 9, 16), (Duration::MAX, 16)] {
            patience.answered(round_trip);
            assert_eq!(patience.within(), SECOND * within);
        }
        assert_eq!(Patience::new(SECOND * 9, SECOND).within(), SECOND);
    }
}
