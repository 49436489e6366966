//! What is told of a wall clock that was set. Pure: what was seen, and when, is handed in.

use tokio::time::Instant;

use crate::base::alarm::{Alarm, Said};
use crate::base::clock::News;

/// A line about the wall clock. Distances are in microseconds, positive when it went ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It was set, by so much, or is set again and again.
    Set(i64, Said),
    /// It is right again.
    Right(Said),
    /// It has stood, and is believed. That takes a minute each time.
    Believed(i64),
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    set: Alarm,
    /// By how much the clock is wrong now, as far as is known.
    wrong_by: Option<i64>,
}

impl Told {
    /// The clock was looked at. A clock that never stands is told of once a minute, not each time that it is set.
    pub(super) fn looked(&mut self, news: Option<News>, now: Instant) -> Option<Line> {
        match news {
            Some(News::Stepped(by)) => self.wrong_by = Some(by),
            Some(News::TakenBack) => {
                self.wrong_by = None;
                return self.set.clear(now).map(Line::Right);
            }
            Some(News::Believed(by)) => {
                self.wrong_by = None;
                self.set.clear(now);
                return Some(Line::Believed(by));
            }
            None => {}
        }
        let by = self.wrong_by?;
        self.set.raise(now).map(|said| Line::Set(by, said))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// What is told, and at which second, of a clock that is looked at once a second.
    fn told(looks: impl IntoIterator<Item = Option<News>>) -> Vec<(u64, Line)> {
        let (start, mut told) = (Instant::now(), Told::default());
        let mut lines = Vec::new();
        for (second, news) in (0..).zip(looks) {
            let line = told.looked(news, start + Duration::from_secs(second));
            lines.extend(line.map(|line| (second, line)));
        }
        lines
    }

    fn said(times: u64, seconds: u64) -> Said {
        Said { times, lasts: Duration::from_secs(seconds) }
    }

    /// A clock that flaps by two seconds, or one before 1970, once wrote a warning each second.
    #[test]
    fn a_clock_that_is_set_each_second_is_told_of_once_a_minute() {
        let lines = told((0..180).map(|second| Some(News::Stepped((100 + second % 2 * 2) * SECOND))));
        let expected = [(0, said(1, 0)), (60, said(60, 60)), (120, said(60, 120))];
        assert_eq!(lines, expected.map(|(second, said)| (second, Line::Set(100 * SECOND, said))));
    }

    #[test]
    fn a_clock_that_goes_wrong_and_right_each_second_is_told_of_once_a_minute() {
        let look = |second| if second % 2 == 0 { News::Stepped(2 * SECOND) } else { News::TakenBack };
        let lines = told((0..180).map(|second| Some(look(second))));
        let seconds: Vec<_> = lines.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [0, 1, 60, 61, 120, 121], "{lines:?}");
    }

    #[test]
    fn a_step_is_told_when_it_is_seen_and_when_it_is_taken_back_or_believed() {
        let step = |end: News| {
            let news = [Some(News::Stepped(SECOND * 5)), None, None, Some(end), None];
            told(news).into_iter().map(|(_, line)| line).collect::<Vec<_>>()
        };
        let set = Line::Set(5 * SECOND, said(1, 0));
        assert_eq!(step(News::TakenBack), [set, Line::Right(said(2, 3))]);
        assert_eq!(step(News::Believed(SECOND * 5)), [set, Line::Believed(SECOND * 5)]);
    }
}
