//! How much of something may be in use at a time: what was set, and more only where nothing would go on otherwise.
//! Pure: how much is used is told, and that nothing goes on.

/// As what part of what was set is first let in above it.
const PARTS: usize = 16;

/// The bound of one thing.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// What was set.
    max: usize,
    /// What may be used now, if that is more.
    raised: usize,
    /// By how much it was raised last. Twice as much each time, as long as nothing goes on.
    step: usize,
}

impl Allowance {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, raised: 0, step: 0 }
    }

    /// Whether so much more may be used. What is larger than the bound may be beside no more than half of it, or it
    /// never would.
    pub(crate) fn admits(&mut self, used: usize, wanted: usize) -> bool {
        // There is clearly room again. At the bound itself what was raised stays, or what is used for long would hold
        // up everything else anew each time.
        if used.saturating_add(self.part()) <= self.max {
            (self.raised, self.step) = (0, 0);
        }
        used.saturating_add(wanted) <= self.max.max(self.raised) || used <= self.max / 2
    }

    /// How much more may be used now.
    pub(crate) fn left(&self, used: usize) -> usize {
        self.max.max(self.raised).saturating_sub(used)
    }

    /// Nothing of what is used has gone for a while, and somebody waits for so much: it may be what the others wait
    /// for.
    pub(crate) fn raise(&mut self, used: usize, wanted: usize) {
        self.step = self.step.saturating_mul(2).max(self.part()).max(wanted);
        self.raised = used.saturating_add(self.step);
    }

    fn part(&self) -> usize {
        (self.max / PARTS).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_used_as_was_set() {
        let mut allowance = Allowance::new(160);
        assert!(allowance.admits(0, 160) && allowance.admits(150, 10) && allowance.admits(160, 0));
        assert!(!allowance.admits(151, 10) && !allowance.admits(usize::MAX, 1));
    }

    #[test]
    fn what_is_larger_than_the_bound_goes_in_beside_half_of_it() {
        let mut allowance = Allowance::new(160);
        assert!(allowance.admits(0, 10_000) && allowance.admits(80, 10_000));
        assert!(!allowance.admits(81, 10_000));
        assert!(Allowance::new(0).admits(0, 5) && !Allowance::new(0).admits(1, 5));
    }

    /// One activation that waits for a thousand others.
    #[test]
    fn where_nothing_goes_on_twice_as_much_is_let_in_each_time() {
        let (mut allowance, mut used, mut raised) = (Allowance::new(1), 1, 0);
        while used < 1000 {
            assert!(!allowance.admits(used, 1));
            allowance.raise(used, 1);
            raised += 1;
            while allowance.admits(used, 1) {
                used += 1;
            }
        }
        assert_eq!(raised, 10);
    }

    #[test]
    fn what_was_raised_stays_while_the_bound_is_used_up_and_goes_when_there_is_room() {
        let mut allowance = Allowance::new(160);
        allowance.raise(160, 1);
        for _ in 0..5 {
            assert!(allowance.admits(160, 10), "those that go on have room beside what stays");
            assert!(!allowance.admits(165, 10));
        }
        assert!(allowance.admits(150, 10) && !allowance.admits(160, 1), "there was room again");
        allowance.raise(160, 100);
        assert!(allowance.admits(160, 100), "whoever waits goes in");
    }
}
