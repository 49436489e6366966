//! What is said of a trouble that lasts: a line when it begins, then one a minute with a count, and one when it is
//! over. Pure: the time is handed in, and whoever asks writes the line.
//!
//! ```text
//! if let Some(Said { times, lasts }) = self.alarm.raise(now) {
//!     tracing::error!(node, peer, times, ?lasts, event = "peer refused", "..");
//! }
//! if let Some(Said { times, lasts }) = self.alarm.clear(now) {
//!     tracing::info!(node, peer, times, ?lasts, event = "peer refused", "it is over");
//! }
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How often a trouble that lasts, or that comes and goes, is told.
const PERIOD: Duration = Duration::from_secs(60);

/// One trouble, for whoever sees it come, last and go.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// Since when it is so; none while all is well.
    since: Option<Instant>,
    /// When a line was last said of its being so.
    said: Option<Instant>,
    /// How often it was seen since that line.
    times: u64,
    /// The last line that was said is that it is so, and not that it is over.
    is_told: bool,
}

/// A line that is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// How often it was seen since the last line about it: 1 when it begins.
    pub(crate) times: u64,
    /// For how long it has been so: zero when it begins.
    pub(crate) lasts: Duration,
}

impl Alarm {
    /// The trouble is there. To be called whenever it is seen, however often.
    ///
    /// Says something at once when it begins, and then once a minute. What is over and begins again within a minute,
    /// over and over, is told once a minute too.
    pub(crate) fn raise(&mut self, now: Instant) -> Option<Said> {
        let since = *self.since.get_or_insert(now);
        self.times = self.times.saturating_add(1);
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < PERIOD) {
            return None;
        }
        self.said = Some(now);
        self.is_told = true;
        Some(Said { times: std::mem::take(&mut self.times), lasts: now.saturating_duration_since(since) })
    }

    /// The trouble is not there. To be called whenever that is seen, however often: says something once, and only to
    /// those who were told of it.
    pub(crate) fn clear(&mut self, now: Instant) -> Option<Said> {
        let since = self.since.take()?;
        if !std::mem::take(&mut self.is_told) {
            return None;
        }
        Some(Said { times: self.times, lasts: now.saturating_duration_since(since) })
    }
}

/// The alarms of one kind of trouble, by what has it: peers, lanes, reasons. Bounded, so that neither memory nor the
/// log grows with what others can make up.
#[derive(Debug)]
pub(crate) struct Alarms<K> {
    kept: Vec<(K, Instant, Alarm)>,
    kept_max: usize,
    /// All others together.
    others: Alarm,
}

impl<K: PartialEq> Alarms<K> {
    /// Tells of so many at a time, each by itself. Of more one example is told a minute, with how many there were,
    /// until one of these was not seen for a minute.
    pub(crate) const fn new(kept_max: usize) -> Self {
        let others = Alarm { since: None, said: None, times: 0, is_told: false };
        Self { kept: Vec::new(), kept_max, others }
    }

    /// As [`Alarm::raise`], for one of them.
    pub(crate) fn raise(&mut self, key: K, now: Instant) -> Option<Said> {
        if let Some((_, seen, alarm)) = self.kept.iter_mut().find(|(kept, ..)| *kept == key) {
            *seen = now;
            return alarm.raise(now);
        }
        if self.kept.len() >= self.kept_max {
            self.kept.retain(|(_, seen, _)| now.saturating_duration_since(*seen) < PERIOD);
        }
        if self.kept.len() >= self.kept_max {
            return self.others.raise(now);
        }
        let mut alarm = Alarm::default();
        let said = alarm.raise(now);
        self.kept.push((key, now, alarm));
        said
    }

    /// As [`Alarm::clear`], for all of them: how many are over that were told of. Their next lines still come once a
    /// minute.
    pub(crate) fn clear(&mut self, now: Instant) -> usize {
        let others = self.others.clear(now);
        self.kept.iter_mut().filter_map(|(_, _, alarm)| alarm.clear(now)).chain(others).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn said(times: u64, seconds: u32) -> Option<Said> {
        Some(Said { times, lasts: SECOND * seconds })
    }

    #[test]
    fn a_trouble_that_lasts_is_told_at_once_then_each_minute_and_at_its_end() {
        let (start, mut alarm) = (Instant::now(), Alarm::default());
        assert_eq!(alarm.clear(start), None, "what has not begun is not over");
        assert_eq!(alarm.raise(start), said(1, 0));
        for second in 1..60 {
            assert_eq!(alarm.raise(start + SECOND * second), None);
        }
        assert_eq!(alarm.raise(start + SECOND * 60), said(60, 60));
        assert_eq!(alarm.raise(start + SECOND * 70), None);
        assert_eq!(alarm.clear(start + SECOND * 80), said(1, 80));
        assert_eq!(alarm.clear(start + SECOND * 81), None, "it is over once");
    }

    #[test]
    fn a_trouble_that_comes_and_goes_is_told_once_a_minute() {
        let (start, mut alarm) = (Instant::now(), Alarm::default());
        let mut lines = 0;
        for half_second in 0..1200 {
            let now = start + SECOND * half_second / 2;
            let line = if half_second % 2 == 0 { alarm.raise(now) } else { alarm.clear(now) };
            lines += usize::from(line.is_some());
        }
        assert_eq!(lines, 20, "ten minutes: in each that it is there, and that it is over");
    }

    #[test]
    fn of_many_at_once_a_bounded_number_is_told_each_by_itself() {
        let (start, mut alarms) = (Instant::now(), Alarms::new(2));
        assert_eq!((alarms.raise("a", start), alarms.raise("b", start)), (said(1, 0), said(1, 0)));
        let mut told = Vec::new();
        for (index, key) in ["a", "b", "c", "d"].iter().cycle().take(1000).enumerate() {
            told.extend(alarms.raise(key, start + SECOND * (index / 20) as u32).map(|said| (*key, said.times)));
        }
        assert_eq!(told, [("c", 1)], "one example of all that are beyond");
        assert_eq!(alarms.clear(start + SECOND * 51), 3);
        assert_eq!(alarms.clear(start + SECOND * 52), 0);
        for (number, key) in ["a", "b", "e"].iter().enumerate() {
            let times = alarms.raise(key, start + SECOND * 61).map(|said| said.times);
            assert_eq!(times, Some([251, 251, 500][number]), "with all that was left out");
        }
        assert_eq!(alarms.clear(start + SECOND * 62), 3);
        assert_eq!(alarms.raise("c", start + SECOND * 122), said(1, 0), "the others were not seen for a minute");
        assert!(alarms.kept.len() <= 2);
    }

    #[test]
    fn a_clock_that_goes_back_says_nothing_new() {
        let (start, mut alarm) = (Instant::now() + SECOND * 100, Alarm::default());
        assert_eq!(alarm.raise(start), said(1, 0));
        assert_eq!(alarm.raise(start - SECOND * 90), None);
        assert_eq!(alarm.clear(start - SECOND * 90), said(1, 0));
    }
}
