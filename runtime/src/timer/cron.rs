//! Cron expressions in a time zone: what they may say, when they are due next, and how often they were. Pure: moments
//! are handed in.
//!
//! The fields of an expression name minutes of a local clock. Such a clock skips an hour in spring and repeats one in
//! autumn, so there are two ways to come from local minutes to moments:
//!
//! - An expression that names hours names *times*, and each comes once: at the first moment at which the clock shows
//!   that minute or a later one. So a skipped one comes when the gap is over, and a repeated one the first time.
//! - An expression of any hour names a *pace*: it comes whenever the clock shows such a minute, through a repeated hour
//!   too.

mod fields;
mod zone;

use jiff::tz::TimeZone;

use self::fields::Fields;
use self::zone::Zone;
use crate::base::clock::Micros;

const MINUTE: i64 = 60_000_000;
/// In the year 9987: looking ahead from later would leave what the crates call time.
const LATEST: Micros = Micros(253_000_000_000_000_000);

/// A cron expression that was understood, in its zone.
#[derive(Debug)]
pub(crate) struct Cron {
    fields: Fields,
    zone: Zone,
}

impl Cron {
    /// Reads the five fields of an expression, in UTC if no zone is named.
    pub(crate) fn parse(expression: &str, zone: Option<&str>) -> Result<Self, CronError> {
        let fields = Fields::parse(expression).map_err(CronError::Expression)?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => zone::find(name).ok_or(CronError::Zone)?,
        };
        Ok(Self { fields, zone: Zone(zone) })
    }

    /// The name of a zone as the time zone database writes it; none for one that it does not know.
    pub(crate) fn zone_name(name: &str) -> Option<String> {
        let zone = zone::find(name)?;
        Some(zone.iana_name().unwrap_or(name).to_owned())
    }

    /// A zone that may be meant by a name that is none.
    pub(crate) fn zone_like(name: &str) -> Option<String> {
        zone::like(name)
    }

    /// The first moment after `after` that it names; none when there is no such moment.
    pub(crate) fn next(&self, after: Micros) -> Option<Micros> {
        let after = within_time(after)?;
        let next = if self.fields.any_hour { self.next_of_pace(after) } else { self.next_of_times(after) };
        next.and_then(|next| u64::try_from(next).ok()).map(Micros)
    }

    fn next_of_times(&self, after: i64) -> Option<i64> {
        let next = self.fields.next(self.zone.newest_shown(after))?;
        self.zone.first_shown(next)
    }

    fn next_of_pace(&self, after: i64) -> Option<i64> {
        let mut from = after + 1;
        let mut before = self.minute_before(from);
        let mut next = self.fields.next(before)?;
        loop {
            let moment = next * MINUTE - self.zone.offset(from);
            let Some(change) = self.zone.change_after(from).filter(|change| *change <= moment) else {
                return Some(moment);
            };
            // From here on the clock shows other minutes: it skips some, or shows some again that have been looked at.
            from = change;
            let last = std::mem::replace(&mut before, self.minute_before(from));
            if before >= next {
                next = self.fields.next(before)?;
            } else if before < last {
                next = self.fields.next_until(before, last).unwrap_or(next);
            }
        }
    }

    /// How many moments it names after `after` and up to `until`. Those of more than a century are not all counted.
    pub(crate) fn count(&self, after: Micros, until: Micros) -> u64 {
        let [Some(after), Some(until)] = [after, until.min(LATEST)].map(within_time) else {
            return 0;
        };
        let mut from = after + 1;
        let mut shown = if self.fields.any_hour { i64::MIN } else { self.zone.newest_shown(after) };
        let mut count = 0;
        while from <= until {
            // A stretch of time in which the clock runs evenly.
            let change = self.zone.change_after(from).filter(|change| *change <= until);
            let end = change.unwrap_or(until + 1);
            let last = minute(end - 1 + self.zone.offset(from));
            count += self.fields.count(self.minute_before(from).max(shown), last);
            let Some(change) = change else { break };
            if !self.fields.any_hour {
                shown = shown.max(last);
                // What is skipped comes as one, together with what the clock shows then.
                let landed = minute(change + self.zone.offset(change));
                count += u64::from(self.fields.count(shown, landed) > 0);
                shown = shown.max(landed);
            }
            from = change;
        }
        count
    }

    /// The newest moment up to `now` that it names, given one that has come.
    pub(crate) fn newest(&self, come: Micros, now: Micros) -> Micros {
        // Halves what is between a moment that has come and where there is none, instead of going through all of them.
        let (mut newest, mut end) = (come, now);
        while newest < end {
            let middle = Micros(newest.0.midpoint(end.0));
            match self.next(middle).filter(|moment| *moment <= now) {
                Some(moment) => newest = moment,
                None => end = middle,
            }
        }
        newest
    }

    /// The minute that the clock showed just before `from`, if it ran then as it does at `from`.
    fn minute_before(&self, from: i64) -> i64 {
        minute(from - 1 + self.zone.offset(from))
    }
}

/// None for what is so late that nothing comes any more.
fn within_time(moment: Micros) -> Option<i64> {
    (moment <= LATEST).then(|| i64::try_from(moment.0).ok()).flatten()
}

/// The minute in which a clock is that shows so many microseconds since 1970.
fn minute(shown: i64) -> i64 {
    shown.div_euclid(MINUTE)
}

/// Why there is no such schedule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CronError {
    /// The expression cannot be read, for this reason.
    Expression(String),
    /// The zone is not known.
    Zone,
}

#[cfg(test)]
mod tests;
