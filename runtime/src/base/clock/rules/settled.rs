//! Which wall time is believed. Pure: what the clocks say is handed in.

use std::time::Duration;

use crate::base::clock::{Micros, Steady};

/// By how much the wall clock may run away from what is believed before that is a step: somebody has set it. Less is
/// how a clock is kept right.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// For how long a clock that was set must stand before it is believed.
pub(crate) const SETTLE: Duration = Duration::from_secs(60);

/// What is believed of the wall clock, as a distance to the node's own timeline, which does not jump.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Wall time less steady time, in microseconds.
    believed: i64,
    step: Option<Step>,
}

/// A step that is not believed yet.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// What the wall clock says, as above.
    says: i64,
    since: Steady,
}

/// What a look at the clocks has shown. Distances are in microseconds, positive when the clock went ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The clock was set, by so much. It is not believed.
    Stepped(i64),
    /// The clock is right again before anything came of the step.
    TakenBack,
    /// The clock stood for long enough, and is believed: wall time jumps by so much.
    Believed(i64),
}

impl Settled {
    /// Believes `wall`.
    pub(crate) fn new(steady: Steady, wall: Micros) -> Self {
        Self { believed: distance(steady, wall), step: None }
    }

    /// Wall time less steady time, as it is believed.
    pub(crate) fn believed(&self) -> i64 {
        self.believed
    }

    /// Looks at the clocks.
    pub(crate) fn look(&mut self, steady: Steady, wall: Micros) -> Option<News> {
        let says = distance(steady, wall);
        let by = says.wrapping_sub(self.believed);
        if is_small(by) {
            self.believed = says;
            return self.step.take().map(|_| News::TakenBack);
        }
        match &mut self.step {
            Some(step) if is_small(says.wrapping_sub(step.says)) => {
                step.says = says;
                if steady.since(step.since) < SETTLE {
                    return None;
                }
                self.step = None;
                self.believed = says;
                Some(News::Believed(by))
            }
            _ => {
                self.step = Some(Step { says, since: steady });
                Some(News::Stepped(by))
            }
        }
    }
}

fn is_small(by: i64) -> bool {
    u128::from(by.unsigned_abs()) <= STEP.as_micros()
}

fn distance(steady: Steady, wall: Micros) -> i64 {
    wall.0.wrapping_sub(steady.0).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;
    const YEAR: i64 = 365 * 86_400 * SECOND;

    /// Looks once a second from `from` on, at a clock that is ahead by what `ahead` says.
    fn looks(settled: &mut Settled, seconds: std::ops::Range<i64>, ahead: impl Fn(i64) -> i64) -> Vec<(i64, News)> {
        let begin = 1_700_000_000 * SECOND;
        let look = |second: i64| {
            let steady = begin + second * SECOND;
            let wall = steady + ahead(second);
            let news = settled.look(Steady(steady.cast_unsigned()), Micros(wall.cast_unsigned()));
            news.map(|news| (second, news))
        };
        seconds.filter_map(look).collect()
    }

    fn settled() -> Settled {
        Settled::new(Steady(5), Micros(5))
    }

    #[test]
    fn a_step_is_told_at_once_and_believed_after_it_has_stood() {
        for by in [60 * SECOND, 3600 * SECOND, 12 * YEAR, -60 * SECOND, -3600 * SECOND, -12 * YEAR] {
            let mut settled = settled();
            let news = looks(&mut settled, 0..200, |second| if second < 10 { 0 } else { by });
            assert_eq!(news, [(10, News::Stepped(by)), (70, News::Believed(by))]);
            assert_eq!(settled.believed(), by);
        }
    }

    #[test]
    fn a_step_that_is_taken_back_was_never_believed() {
        let mut settled = settled();
        let news = looks(&mut settled, 0..200, |second| if (10..13).contains(&second) { 12 * YEAR } else { 0 });
        assert_eq!(news, [(10, News::Stepped(12 * YEAR)), (13, News::TakenBack)]);
        assert_eq!(settled.believed(), 0);
    }

    #[test]
    fn a_clock_that_is_set_again_begins_anew() {
        let mut settled = settled();
        let news = looks(&mut settled, 0..200, |second| if second < 50 { 100 * SECOND } else { 90 * SECOND });
        let expected = [(0, 100 * SECOND), (50, 90 * SECOND)].map(|(second, by)| (second, News::Stepped(by)));
        assert_eq!(news, [&expected[..], &[(110, News::Believed(90 * SECOND))]].concat());
    }

    #[test]
    fn a_clock_that_is_kept_right_is_followed_without_a_word() {
        let mut settled = settled();
        assert_eq!(looks(&mut settled, 0..7200, |second| second * 500), []);
        assert_eq!(settled.believed(), 7199 * 500);
    }

    #[test]
    fn a_step_that_goes_on_drifting_is_believed_as_it_is_then() {
        let mut settled = settled();
        let news = looks(&mut settled, 0..61, |second| 100 * SECOND + second * 500);
        assert_eq!(news, [(0, News::Stepped(100 * SECOND)), (60, News::Believed(100 * SECOND + 60 * 500))]);
    }

    proptest! {
        /// Whatever a clock does: what is believed is what the clock said at some look, and it jumps only after it
        /// stood.
        #[test]
        fn nothing_is_believed_that_did_not_stand(
            steps in prop::collection::vec((-3 * YEAR..3 * YEAR, 1i64..100), 1..20),
        ) {
            let (mut settled, mut second) = (settled(), 0);
            for (ahead, stands) in steps {
                let before = settled.believed();
                looks(&mut settled, second..second + stands, |_| ahead);
                second += stands;
                let is_step = !is_small(ahead - before);
                prop_assert_eq!(settled.believed(), if is_step && stands <= 60 { before } else { ahead });
            }
        }
    }
}
