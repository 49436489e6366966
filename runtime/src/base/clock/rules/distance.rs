//! How the clocks of two nodes lie to each other. Pure.

use std::fmt;
use std::time::Duration;

use crate::base::clock::{Micros, Steady};

/// From which difference on of two wall clocks somebody is told.
pub(crate) const SKEW_MAX: Duration = Duration::from_secs(5);

/// Two timelines of which neither jumps, so that one look at both tells how they lie to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timelines {
    here: Steady,
    there: Steady,
}

impl Timelines {
    /// What the two say at one moment. When `there` was told a while ago, what comes from there seems later by that.
    pub(crate) fn new(here: Steady, there: Steady) -> Self {
        Self { here, there }
    }

    /// The moment here that is `moment` there. The end of time, which never comes, is the same on both; nothing is at
    /// zero, which says elsewhere that there is no moment.
    pub(crate) fn here(self, moment: Steady) -> Steady {
        let Self { here, there } = self;
        if moment == Steady(u64::MAX) {
            return moment;
        }
        let ahead = i128::from(here.0) - i128::from(there.0);
        let translated = (i128::from(moment.0) + ahead).clamp(1, i128::from(u64::MAX));
        Steady(u64::try_from(translated).expect("it was clamped"))
    }
}

/// How the wall clock of another node differs from that of this one, each as its node believes. Nothing depends on it
/// but what is shown, and moments that somebody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSkew {
    /// The other clock is ahead by this.
    Ahead(Duration),
    /// The other clock is behind by this.
    Behind(Duration),
}

impl ClockSkew {
    pub(crate) fn of(ours: Micros, theirs: Micros) -> Self {
        if theirs >= ours { Self::Ahead(theirs.since(ours)) } else { Self::Behind(ours.since(theirs)) }
    }

    /// How large it is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        match self {
            Self::Ahead(length) | Self::Behind(length) => *length,
        }
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead(length) => write!(f, "{length:?} ahead"),
            Self::Behind(length) => write!(f, "{length:?} behind"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_of_a_wait_is_the_same_on_both_timelines() {
        let timelines = Timelines::new(Steady(1_000), Steady(1_000_000));
        assert_eq!(timelines.here(Steady(1_000_060)), Steady(1_060));
        assert_eq!(timelines.here(Steady(5)), Steady(1), "it has passed");
        assert_eq!(timelines.here(Steady(u64::MAX)), Steady(u64::MAX));
    }

    #[test]
    fn a_skew_has_a_direction() {
        assert_eq!(ClockSkew::of(Micros(5), Micros(8)), ClockSkew::Ahead(Duration::from_micros(3)));
        assert_eq!(ClockSkew::of(Micros(8), Micros(5)), ClockSkew::Behind(Duration::from_micros(3)));
    }

    proptest! {
        #[test]
        fn a_wait_is_neither_longer_nor_shorter_there(
            here in 0u64..1 << 60,
            there in 0u64..1 << 60,
            left in 0u64..1 << 60,
        ) {
            let arrived = Timelines::new(Steady(here), Steady(there)).here(Steady(there + left));
            prop_assert_eq!(arrived, Steady((here + left).max(1)));
        }
    }
}
