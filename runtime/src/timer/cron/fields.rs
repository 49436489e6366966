//! The fields of an expression, as a set of minutes of a clock that runs evenly. Minutes are counted since 1970.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};

use super::MINUTE;

const MINUTES_A_DAY: i64 = 24 * 60;
/// How far the crate looks ahead, in days.
const LOOK_AHEAD: i64 = 4 * 365;
/// How often it is asked to look further: a 29th of February can be 8 years away, and one on a certain day of the week
/// 40.
const LOOKS: u32 = 11;
/// In the year 9987: looking ahead from later would leave what the crate calls time.
const LATEST: i64 = super::LATEST.0.cast_signed() / (MINUTES_A_DAY * MINUTE);
/// How many days with moments are counted one by one.
const DAYS_MAX: u32 = 40_000;

/// The minutes that an expression names.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Names midnight of each day that it names.
    days: Crontab,
    every_day: bool,
    /// Bits of the hours.
    hours: u32,
    /// Bits of the minutes of such an hour.
    minutes: u64,
    /// Whether it names every hour.
    pub(crate) any_hour: bool,
}

impl Fields {
    /// Reads the five fields of an expression, or says why it cannot.
    pub(crate) fn parse(expression: &str) -> Result<Self, String> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let &[minutes, hours, days, months, weekdays] = &*fields else {
            let fields = fields.len();
            return Err(format!(
                "it has {fields} fields, and must have 5: minute, hour, day of month, month, day of week"
            ));
        };
        // As a whole first, since what is wrong with it is to be told of the whole.
        parse(expression)?;
        let hours = bits(&parse(&format!("0 {hours} * * *"))?, 24, 60);
        Ok(Self {
            days: parse(&format!("0 0 {days} {months} {weekdays}"))?,
            every_day: [days, months, weekdays] == ["*"; 3],
            hours: u32::try_from(hours).expect("a day has 24 hours"),
            minutes: bits(&parse(&format!("{minutes} * * * *"))?, 60, 1),
            any_hour: hours.count_ones() == 24,
        })
    }

    /// The first minute after `after` that it names.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let (day, minute) = split(after);
        if let Some(minute) = self.next_of_day(minute).filter(|_| self.names_day(day)) {
            return Some(day * MINUTES_A_DAY + minute);
        }
        let first = self.next_of_day(-1)?;
        Some(self.day_from(day + 1)? * MINUTES_A_DAY + first)
    }

    /// The same, if it is not after `until`.
    pub(crate) fn next_until(&self, after: i64, until: i64) -> Option<i64> {
        let (mut day, mut minute) = split(after);
        while day * MINUTES_A_DAY <= until {
            if let Some(next) = self.next_of_day(minute).filter(|_| self.names_day(day)) {
                return Some(day * MINUTES_A_DAY + next).filter(|next| *next <= until);
            }
            (day, minute) = (day + 1, -1);
        }
        None
    }

    /// How many minutes it names after `after` and up to `until`.
    pub(crate) fn count(&self, after: i64, until: i64) -> u64 {
        if after >= until {
            return 0;
        }
        let ((first, from), (last, to)) = (split(after), split(until));
        let up_to = |day, minute| if self.names_day(day) { self.up_to(minute) } else { 0 };
        if first == last {
            return up_to(first, to) - up_to(first, from);
        }
        let a_day = self.up_to(MINUTES_A_DAY - 1);
        let between = if self.every_day {
            u64::try_from(last - first - 1).expect("the last day is after the first")
        } else {
            self.days_between(first, last)
        };
        up_to(first, MINUTES_A_DAY - 1) - up_to(first, from) + between.saturating_mul(a_day) + up_to(last, to)
    }

    fn days_between(&self, first: i64, last: i64) -> u64 {
        let mut days = 0;
        let mut day = first;
        for _ in 0..DAYS_MAX {
            match self.day_from(day + 1).filter(|next| *next < last) {
                Some(next) => (day, days) = (next, days + 1),
                None => break,
            }
        }
        days
    }

    /// The first minute of a day after this one that it names, on a day that it names.
    fn next_of_day(&self, after: i64) -> Option<i64> {
        (after + 1..MINUTES_A_DAY).find(|minute| {
            let (hour, minute) = (minute / 60, minute % 60);
            self.hours & (1 << hour) != 0 && self.minutes & (1 << minute) != 0
        })
    }

    /// How many minutes it names of a day that it names, up to this one.
    fn up_to(&self, minute: i64) -> u64 {
        let (hour, minute) = (minute / 60, minute % 60);
        let before = (self.hours & ((1 << hour) - 1)).count_ones() * self.minutes.count_ones();
        let within = if self.hours & (1 << hour) == 0 { 0 } else { (self.minutes & ((2 << minute) - 1)).count_ones() };
        u64::from(before + within)
    }

    fn names_day(&self, day: i64) -> bool {
        moment(day).and_then(|midnight| self.days.matches(midnight).ok()).unwrap_or(false)
    }

    /// The first day from this one on that it names.
    fn day_from(&self, day: i64) -> Option<i64> {
        if self.names_day(day) {
            return Some(day);
        }
        let mut day = day;
        for _ in 0..LOOKS {
            if let Ok(next) = self.days.find_next(moment(day)?) {
                return Some(next.timestamp().as_second().div_euclid(86_400));
            }
            day += LOOK_AHEAD;
        }
        None
    }
}

fn parse(expression: &str) -> Result<Crontab, String> {
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    cronexpr::parse_crontab_with(expression, options).map_err(|error| error.to_string())
}

/// Which of the first `bits` steps of a day it names.
fn bits(crontab: &Crontab, bits: i64, step_minutes: i64) -> u64 {
    let names = |step: &i64| {
        let moment = MakeTimestamp::from_microsecond(step * step_minutes * MINUTE);
        moment.is_ok_and(|moment| crontab.matches(moment).unwrap_or(false))
    };
    (0..bits).filter(names).fold(0, |bits, step| bits | 1 << step)
}

/// The day, and the minute of it.
fn split(minute: i64) -> (i64, i64) {
    (minute.div_euclid(MINUTES_A_DAY), minute.rem_euclid(MINUTES_A_DAY))
}

/// The beginning of a day, if that is within what the crate calls time.
fn moment(day: i64) -> Option<MakeTimestamp> {
    if !(-LATEST..=LATEST).contains(&day) {
        return None;
    }
    MakeTimestamp::from_second(day * 86_400).ok()
}
