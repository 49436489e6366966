//! Schedules, as a user describes them.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cron::{Cron, CronError};
use super::plan::{Begin, CatchUp, Plan, Rhythm, micros};
use crate::base::clock::Micros;

/// The shortest period.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// When a timer is due: once, again and again at a fixed rate, or at the moments of a cron expression.
///
/// Waits ([`after`](Self::after), [`every`](Self::every)) pass at the machine's rate, whatever becomes of its clock,
/// and over restarts of the node. Moments that somebody names ([`at`](Self::at), [`cron`](Self::cron),
/// [`starting_at`](Self::starting_at)) are wall time. A wall clock that is set is believed when it has stood for a
/// minute, so that nothing is sent because of a step that is taken back. Then, what it skipped was missed ([`Missed`]);
/// and if it was put back, ticks that were sent are not sent again, but wait, up to three hours. After a step back of
/// more than that a schedule goes on from the present.
///
/// ```
/// use std::time::Duration;
/// use everpost::{Missed, Schedule};
///
/// let once = Schedule::after(Duration::from_secs(60));
/// let hourly = Schedule::every(Duration::from_secs(60 * 60))?.missed(Missed::Skip);
/// let nightly = Schedule::cron("0 3 * * *")?; // at three in the morning, UTC
/// let local = Schedule::cron("0 3 * * *")?.in_zone("Europe/Berlin")?;
/// # Ok::<(), everpost::ScheduleError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    plan: Plan,
}

/// What becomes of the ticks of a timer that could not be sent when they were due, because the node was down or full,
/// or the clock was put forward. However many they were, that takes no longer; those that are left out are counted
/// ([`Timer::missed`](crate::Timer)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out: every tick that could not be sent within ten seconds of its moment, or before the next one.
    Skip,
    /// One message stands for all of them: the newest.
    #[default]
    Once,
    /// Each of them has its own message, oldest first: those of the last day, and the newest thousand at most, unless
    /// [`Schedule::missed_within`] and [`Schedule::missed_max`] say otherwise.
    All,
}

/// Why a schedule cannot be made.
#[derive(thiserror::Error)]
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
    /// The time zone database knows no such zone.
    #[error("there is no time zone `{zone}`; {hint}")]
    Zone {
        /// The name.
        zone: String,
        /// What may be meant, or what such names are like.
        hint: String,
    },
    /// A zone was named for a schedule without a cron expression.
    #[error(
        "the time zone `{zone}` says nothing of a schedule without a cron expression, which is the same in every zone"
    )]
    ZoneWithoutCron {
        /// The zone.
        zone: String,
    },
}

impl Schedule {
    /// One tick, `delay` after the timer is set.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::new(Begin::After(micros(delay)), Rhythm::Once)
    }

    /// One tick at that moment of wall time; at once when it has passed.
    #[must_use]
    pub fn at(moment: impl Into<Micros>) -> Self {
        Self::new(Begin::At(moment.into()), Rhythm::Once)
    }

    /// A tick every `period`, the first one a period after the timer is set. The rate is fixed: ticks that come late do
    /// not push back those after them.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Period`] for less than a millisecond.
    pub fn every(period: Duration) -> Result<Self, ScheduleError> {
        let period_micros = NonZeroU64::new(micros(period)).filter(|_| period >= PERIOD_MIN);
        let period_micros = period_micros.ok_or(ScheduleError::Period(period))?;
        Ok(Self::new(Begin::After(period_micros.get()), Rhythm::Every(period_micros)))
    }

    /// A tick at each moment that `expression` names with five fields: minute, hour, day of month, month, day of week
    /// (0 or 7 is Sunday). A field is `*`, a number, a name (`JAN`, `MON`), a range `1-5`, a step `*/15`, or several of
    /// them with commas; `L`, `W` and `#` are understood too. If both days are given, either is enough, as in `cron`.
    /// In UTC, unless [`Schedule::in_zone`] names a zone.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Cron`] says what is wrong; [`ScheduleError::Never`] for a day that does not exist.
    pub fn cron(expression: &str) -> Result<Self, ScheduleError> {
        let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let cron = match Cron::parse(&expression, None) {
            Ok(cron) => cron,
            Err(CronError::Expression(reason)) => return Err(ScheduleError::Cron { expression, reason }),
            Err(CronError::Zone) => unreachable!("no zone is named"),
        };
        if cron.next(Micros(0)).is_none() {
            return Err(ScheduleError::Never { expression });
        }
        Ok(Self::new(Begin::Rhythm, Rhythm::Cron { expression, zone: None }))
    }

    /// The cron expression by the clocks of this zone of the IANA database, like `Europe/Berlin`. Its rules are those
    /// of the machine where it has them, or else of the database that is part of the program.
    ///
    /// Where clocks are put forward, a time that is skipped comes once, at the first moment after the gap: `30 2 * * *`
    /// at 03:00, and if a whole day is skipped, at the beginning of the next one. Where they are put back, a time that
    /// comes twice counts the first time. An expression of any hour, like `*/15 * * * *`, is no time of day: it goes
    /// through a repeated hour as through any other, and nothing comes for minutes that are skipped.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Zone`] for a name that is none, with what may be meant; [`ScheduleError::ZoneWithoutCron`].
    pub fn in_zone(mut self, name: &str) -> Result<Self, ScheduleError> {
        let zone_name = name.to_owned();
        let Rhythm::Cron { zone, .. } = &mut self.plan.rhythm else {
            return Err(ScheduleError::ZoneWithoutCron { zone: zone_name });
        };
        let Some(found) = Cron::zone_name(name) else {
            let hint = match Cron::zone_like(name) {
                Some(like) => format!("did you mean `{like}`?"),
                None => "zones have names like `Europe/Berlin`".to_owned(),
            };
            return Err(ScheduleError::Zone { zone: zone_name, hint });
        };
        *zone = Some(found);
        Ok(self)
    }

    /// The first tick is due at that moment of wall time; for a cron expression at the first of its moments from then
    /// on. A moment that has passed is one whose ticks were missed. Further ticks follow by wall time too.
    #[must_use]
    pub fn starting_at(mut self, moment: impl Into<Micros>) -> Self {
        self.plan.begin = Begin::At(moment.into());
        self
    }

    /// What becomes of missed ticks; without it [`Missed::Once`]. A schedule of one tick never leaves it out.
    #[must_use]
    pub fn missed(mut self, policy: Missed) -> Self {
        self.plan.catch_up.missed = policy;
        self
    }

    /// With [`Missed::All`]: ticks that are older than this when they could be sent are left out; a day unless this
    /// says otherwise, and no less than ten seconds.
    #[must_use]
    pub fn missed_within(mut self, age: Duration) -> Self {
        self.plan.catch_up.within = micros(age);
        self
    }

    /// With [`Missed::All`]: of more ticks than this the newest are sent, and the others left out; 1,000 unless this
    /// says otherwise, and no less than one.
    #[must_use]
    pub fn missed_max(mut self, ticks: u64) -> Self {
        self.plan.catch_up.max = ticks;
        self
    }

    fn new(begin: Begin, rhythm: Rhythm) -> Self {
        Self { plan: Plan { begin, rhythm, catch_up: CatchUp::default() } }
    }

    pub(crate) fn repeats(&self) -> bool {
        self.plan.repeats()
    }

    pub(crate) const fn of(plan: Plan) -> Self {
        Self { plan }
    }

    pub(crate) fn into_plan(self) -> Plan {
        self.plan
    }
}

/// As people say it: `every 1s`, `cron 0 3 * * * in Europe/Berlin`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = self.plan.begin;
        match (&self.plan.rhythm, begin) {
            (Rhythm::Once, Begin::After(wait)) => return write!(f, "once, after {:?}", Duration::from_micros(wait)),
            (Rhythm::Once, _) => f.write_str("once")?,
            (Rhythm::Every(period), _) => write!(f, "every {:?}", Duration::from_micros(period.get()))?,
            (Rhythm::Cron { expression, zone }, _) => {
                write!(f, "cron {expression} in {}", zone.as_deref().unwrap_or("UTC"))?;
            }
        }
        let Begin::At(moment) = begin else { return Ok(()) };
        f.write_str(if self.plan.repeats() { ", from " } else { ", at " })?;
        match moment.timestamp() {
            Some(moment) => write!(f, "{moment}"),
            None => f.write_str("the end of time"),
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CatchUp { missed, .. } = self.plan.catch_up;
        write!(f, "Schedule({self}, missed: {missed:?})")
    }
}

crate::base::error_text::debug_as_text!(ScheduleError);
