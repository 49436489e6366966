//! Schedules: when a timer is due, and what becomes of the ticks that could not be sent in time. Pure: the moment is handed
//! in, and each answer is a function of what was asked.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::cron::Cron;
use crate::clock::Micros;

/// The shortest period.
const PERIOD_MIN: Duration = Duration::from_millis(1);
/// A tick that is sent this late is in time: a timer never fires at its very moment.
const PUNCTUAL: Duration = Duration::from_secs(10);

/// When a timer is due: once, again and again at a fixed rate, or at the moments of a cron expression.
///
/// It is wall time, in UTC, since it has to outlive the process: when the clock is put forward timers are due earlier, and
/// when it is put back they are due later, but each tick that was sent is not sent again.
///
/// ```
/// use std::time::Duration;
/// use everpost::{Missed, Schedule};
///
/// let once = Schedule::after(Duration::from_secs(60));
/// let hourly = Schedule::every(Duration::from_secs(60 * 60))?.missed(Missed::Skip);
/// let nightly = Schedule::cron("0 3 * * *")?; // at three in the morning, UTC
/// # Ok::<(), everpost::ScheduleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    begin: Begin,
    rhythm: Rhythm,
}

/// What becomes of the ticks of a timer that could not be sent when they were due, because the node was down, or the clock
/// was put forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Missed {
    /// They are left out: every tick that could not be sent within ten seconds of its moment, or before the next one.
    Skip,
    /// One message stands for all of them: the newest.
    #[default]
    Once,
    /// Each of them has its own message, however many they are.
    All,
}

/// Why a schedule cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The period is shorter than a millisecond.
    #[error("the period is {0:?}, and must be a millisecond at least")]
    Period(Duration),
    /// The cron expression cannot be read.
    #[error("`{expression}` is no cron expression: {reason}")]
    Cron {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cron expression names no moment, like the 30th of February.
    #[error("`{expression}` names no moment: there is no such day")]
    Never {
        /// The expression.
        expression: String,
    },
}

/// When the first tick is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    After(Duration),
    At(Micros),
    /// At the first moment of the rhythm.
    Rhythm,
}

/// How the ticks follow each other; part of the stored record, so that variants are appended only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rhythm {
    Once,
    Every { period_micros: NonZeroU64, missed: Missed },
    Cron { expression: String, missed: Missed },
}

/// What a timer that is due does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// The ticks that are sent now, oldest first.
    pub(crate) ticks: SmallVec<[Micros; 1]>,
    /// When the next tick is due, which may be at once; none when there is none.
    pub(crate) next: Option<Micros>,
}

impl Schedule {
    /// One tick, `delay` after the timer is set.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self { begin: Begin::After(delay), rhythm: Rhythm::Once }
    }

    /// One tick at that moment; at once when it has passed.
    #[must_use]
    pub fn at(moment: impl Into<Micros>) -> Self {
        Self { begin: Begin::At(moment.into()), rhythm: Rhythm::Once }
    }

    /// A tick every `period`, the first one a period after the timer is set. The rate is fixed: ticks that come late do not
    /// push back those after them.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Period`] for less than a millisecond.
    pub fn every(period: Duration) -> Result<Self, ScheduleError> {
        let period_micros = NonZeroU64::new(Micros::default().plus(period).0).filter(|_| period >= PERIOD_MIN);
        let period_micros = period_micros.ok_or(ScheduleError::Period(period))?;
        Ok(Self { begin: Begin::After(period), rhythm: Rhythm::Every { period_micros, missed: Missed::default() } })
    }

    /// A tick at each moment, in UTC, that `expression` names with five fields: minute, hour, day of month, month, day of
    /// week (0 or 7 is Sunday). A field is `*`, a number, a name (`JAN`, `MON`), a range `1-5`, a step `*/15`, or several of
    /// them with commas; `L`, `W` and `#` are understood too. If both days are given, either is enough, as in `cron`.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Cron`] says what is wrong; [`ScheduleError::Never`] for a day that does not exist.
    pub fn cron(expression: &str) -> Result<Self, ScheduleError> {
        let expression = expression.to_owned();
        let cron = match Cron::parse(&expression) {
            Ok(cron) => cron,
            Err(reason) => return Err(ScheduleError::Cron { expression, reason }),
        };
        if cron.next(Micros(0)).is_none() {
            return Err(ScheduleError::Never { expression });
        }
        Ok(Self { begin: Begin::Rhythm, rhythm: Rhythm::Cron { expression, missed: Missed::default() } })
    }

    /// The first tick is due at that moment; for a cron expression at the first of its moments from then on. A moment that has
    /// passed is one whose ticks were missed.
    #[must_use]
    pub fn starting_at(mut self, moment: impl Into<Micros>) -> Self {
        self.begin = Begin::At(moment.into());
        self
    }

    /// What becomes of missed ticks; without it [`Missed::Once`]. A schedule of one tick never leaves it out.
    #[must_use]
    pub fn missed(mut self, policy: Missed) -> Self {
        match &mut self.rhythm {
            Rhythm::Once => {}
            Rhythm::Every { missed, .. } | Rhythm::Cron { missed, .. } => *missed = policy,
        }
        self
    }

    /// When the first tick is due, for a timer that is set now.
    pub(crate) fn first(&self, now: Micros) -> Option<Micros> {
        match (&self.rhythm, self.begin) {
            (Rhythm::Cron { .. }, Begin::At(moment)) => self.rhythm.next(Micros(moment.0.saturating_sub(1))),
            (_, Begin::At(moment)) => Some(moment),
            (_, Begin::After(delay)) => Some(now.plus(delay)),
            (_, Begin::Rhythm) => self.rhythm.next(now),
        }
    }

    pub(crate) fn into_rhythm(self) -> Rhythm {
        self.rhythm
    }
}

impl Rhythm {
    /// What a timer does whose next tick is `due`, which has come: the ticks to be sent, `ticks_max` at most, and what is due
    /// after them.
    pub(crate) fn round(&self, due: Micros, now: Micros, ticks_max: usize) -> Round {
        let missed = match self {
            Self::Once => return Round { ticks: [due].into(), next: None },
            Self::Every { missed, .. } | Self::Cron { missed, .. } => *missed,
        };
        if missed == Missed::All {
            return self.every_one(due, now, ticks_max);
        }
        let newest = self.newest(due, now);
        let is_left_out = missed == Missed::Skip && now.since(newest) > PUNCTUAL;
        Round { ticks: (!is_left_out).then_some(newest).into_iter().collect(), next: self.next(newest) }
    }

    fn every_one(&self, due: Micros, now: Micros, ticks_max: usize) -> Round {
        let mut ticks = SmallVec::new();
        let mut next = Some(due);
        while let Some(tick) = next.filter(|tick| *tick <= now && ticks.len() < ticks_max) {
            ticks.push(tick);
            next = self.next(tick);
        }
        Round { ticks, next }
    }

    /// The newest tick that has come, given one that has.
    fn newest(&self, due: Micros, now: Micros) -> Micros {
        if let Self::Every { period_micros, .. } = self {
            let period = period_micros.get();
            return Micros(due.0 + now.0.saturating_sub(due.0) / period * period);
        }
        // Halves what is between a tick that has come and where there is none, instead of going through all of them.
        let (mut newest, mut end) = (due, now);
        while newest < end {
            let middle = Micros(newest.0.midpoint(end.0));
            match self.next(middle).filter(|tick| *tick <= now) {
                Some(tick) => newest = tick,
                None => end = middle,
            }
        }
        newest
    }

    /// The tick that follows one at `after`.
    fn next(&self, after: Micros) -> Option<Micros> {
        match self {
            Self::Once => None,
            Self::Every { period_micros, .. } => after.0.checked_add(period_micros.get()).map(Micros),
            Self::Cron { expression, .. } => Cron::parse(expression).ok()?.next(after),
        }
    }
}

#[cfg(test)]
mod tests;
