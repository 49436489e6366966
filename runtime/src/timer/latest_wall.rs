//! The latest wall time by which timers were looked at. It is kept with them, and not by whoever looks: so a clock that
//! was put back is seen also by the one that goes on after a panic.

use super::plan::PUT_BACK_MAX;
use crate::base::clock::Micros;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LatestWall(Micros);

impl LatestWall {
    /// Whether the clock was put back since, by so much that the timers have to be set right; said until they are.
    pub(crate) fn is_put_back(&mut self, now: Micros) -> bool {
        let is_put_back = self.0.since(now) > PUT_BACK_MAX;
        if !is_put_back {
            self.0 = self.0.max(now);
        }
        is_put_back
    }

    /// The timers were set right by this time.
    pub(crate) fn set_right(&mut self, by: Micros) {
        self.0 = by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_put_back_is_seen_until_the_timers_are_set_right() {
        let hour = 3_600_000_000;
        let mut latest = LatestWall::default();
        assert!(!latest.is_put_back(Micros(9 * hour)));
        assert!(!latest.is_put_back(Micros(9 * hour - 1)), "it stands still rather than that");
        for _ in 0..3 {
            assert!(latest.is_put_back(Micros(5 * hour)), "nobody has set them right");
        }
        latest.set_right(Micros(5 * hour));
        assert!(!latest.is_put_back(Micros(5 * hour)) && !latest.is_put_back(Micros(6 * hour)));
        assert!(latest.is_put_back(Micros(2 * hour)));
    }
}
