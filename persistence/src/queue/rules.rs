//! Under load the writer lets more submissions come before it takes them: each group costs a sync, pages of the journal
//! and the waking of whoever waits for it, whatever is in it. Pure.
//!
//! Nobody who is alone is to wait for others: it only gathers while much waits, goes on only while much comes, and soon
//! tries no more where nothing came.

use std::time::Duration;

/// How long it waits before it looks again.
pub(super) const MOMENT: Duration = Duration::from_micros(200);
/// Of so many moments one gathering has at most.
const MOMENTS_MAX: u32 = 5;
/// How many changes have to wait before it begins, and how many are enough.
const WAITING_MIN: usize = 2048;
const WAITING_MAX: usize = 16_384;
/// How many have to come in each moment.
const COMING_MIN: usize = 256;
/// Of so many groups in a row that could have been gathered, one is at least.
const PAUSE_MAX: u32 = 64;

/// The decision for one group after another.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// How many moments were waited for this group.
    moments: u32,
    /// How many changes waited before the last of them.
    seen: usize,
    /// How many groups are not gathered, and how many are after the next time in vain.
    paused: u32,
    pause: u32,
}

impl Gathering {
    /// Whether to wait for a moment before this group is taken, since so many changes wait now.
    pub(super) fn goes_on(&mut self, waiting: usize) -> bool {
        let goes_on = if self.moments == 0 { self.begins(waiting) } else { self.is_worthwhile(waiting) };
        if goes_on {
            self.moments += 1;
            self.seen = waiting;
        }
        goes_on
    }

    /// The group is taken.
    pub(super) fn taken(&mut self) {
        self.moments = 0;
    }

    fn begins(&mut self, waiting: usize) -> bool {
        if !(WAITING_MIN..WAITING_MAX).contains(&waiting) {
            return false;
        }
        let is_paused = self.paused > 0;
        self.paused = self.paused.saturating_sub(1);
        !is_paused
    }

    fn is_worthwhile(&mut self, waiting: usize) -> bool {
        let has_come = waiting.saturating_sub(self.seen) >= COMING_MIN;
        if has_come {
            self.pause = 0;
        } else if self.moments == 1 {
            self.pause = (2 * self.pause + 1).min(PAUSE_MAX - 1);
            self.paused = self.pause;
        }
        has_come && self.moments < MOMENTS_MAX && waiting < WAITING_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many moments one group takes with so many changes at first, and so many that come in each moment.
    fn moments(gathering: &mut Gathering, first: usize, each: usize) -> u32 {
        let mut waiting = first;
        let mut moments = 0;
        while gathering.goes_on(waiting) {
            moments += 1;
            waiting += each;
        }
        gathering.taken();
        moments
    }

    #[test]
    fn it_gathers_while_much_waits_and_much_comes() {
        let mut gathering = Gathering::default();
        assert_eq!(moments(&mut gathering, WAITING_MIN, COMING_MIN), MOMENTS_MAX);
        assert_eq!(moments(&mut gathering, WAITING_MIN, WAITING_MAX / 2), 2, "there is enough");
        assert_eq!([WAITING_MIN - 1, WAITING_MAX].map(|first| moments(&mut gathering, first, COMING_MIN)), [0, 0]);
    }

    #[test]
    fn who_submits_alone_waits_for_others_ever_more_seldom() {
        let mut gathering = Gathering::default();
        let waited: u32 = (0..10_000).map(|_| moments(&mut gathering, 4000, 0)).sum();
        assert!((10_000 / PAUSE_MAX..10_000 / PAUSE_MAX + 10).contains(&waited), "{waited}");
    }

    #[test]
    fn one_group_to_which_nothing_came_does_not_end_it_for_long() {
        let mut gathering = Gathering::default();
        assert_eq!(moments(&mut gathering, 4000, 300), MOMENTS_MAX);
        assert_eq!(moments(&mut gathering, 4000, 0), 1);
        let next = [(); 3].map(|()| moments(&mut gathering, 4000, 300));
        assert_eq!(next, [0, MOMENTS_MAX, MOMENTS_MAX]);
    }

    proptest::proptest! {
        #[test]
        fn no_group_waits_for_more_than_its_moments(
            groups in proptest::collection::vec((0_usize..20_000, 0_usize..500), 1..200),
        ) {
            let mut gathering = Gathering::default();
            for (first, each) in groups {
                assert!(moments(&mut gathering, first, each) <= MOMENTS_MAX);
            }
        }
    }
}
