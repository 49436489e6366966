//! What the clocks of a time zone show, by the rules of the machine's time zone database. Moments, and what a clock
//! shows, are microseconds since 1970; minutes are counted since 1970 too.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase, db};

use super::{MINUTE, minute};
use crate::base::words::nearest;

/// A clock that was put back shows again what it showed this long before, at most: zones have skipped or repeated a
/// day, never more.
const PUT_BACK_MAX: i64 = 48 * 60 * MINUTE;

/// A time zone.
#[derive(Debug)]
pub(crate) struct Zone(pub(crate) TimeZone);

impl Zone {
    /// By how much its clocks are ahead of UTC at that moment.
    pub(crate) fn offset(&self, at: i64) -> i64 {
        timestamp(at).map_or(0, |at| i64::from(self.0.to_offset(at).seconds()) * 1_000_000)
    }

    /// When its clocks are set next.
    pub(crate) fn change_after(&self, at: i64) -> Option<i64> {
        let change = self.0.following(timestamp(at)?).next()?;
        Some(change.timestamp().as_microsecond())
    }

    /// The newest minute that its clocks have shown by that moment, though they may have been put back since.
    pub(crate) fn newest_shown(&self, at: i64) -> i64 {
        let now = minute(at + self.offset(at));
        // Those at that very moment count.
        let Some(until) = timestamp(at + 1) else { return now };
        let before = self.0.preceding(until).map(|change| change.timestamp().as_microsecond());
        let shown = before.take_while(|change| at - change <= PUT_BACK_MAX).map(|change| {
            let last = change - 1;
            minute(last + self.offset(last))
        });
        shown.fold(now, i64::max)
    }

    /// The first moment at which its clocks show this minute, or a later one.
    pub(crate) fn first_shown(&self, minute: i64) -> Option<i64> {
        let shown = minute.checked_mul(MINUTE)?;
        // Surely before it; from there on through the stretches in which the clock runs evenly.
        let mut from = shown - PUT_BACK_MAX;
        loop {
            let moment = (shown - self.offset(from)).max(from);
            match self.change_after(from).filter(|change| *change <= moment) {
                Some(change) => from = change,
                None => return Some(moment),
            }
        }
    }
}

/// The zone of that name: by the machine's time zone database, which is kept up to date with it, or by the one that is
/// part of the program.
pub(crate) fn find(name: &str) -> Option<TimeZone> {
    let found = db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
    found.ok().filter(|zone| !zone.is_unknown())
}

/// The name of a zone that may be meant by `name`, which is none: one with that city, or with a slip less.
pub(crate) fn like(name: &str) -> Option<String> {
    let zones = TimeZoneDatabase::bundled();
    let names: Vec<String> = zones.available().map(|zone| zone.as_str().to_owned()).collect();
    let city = name.trim().replace(' ', "_").to_ascii_lowercase();
    let of_city = names.iter().find(|zone| zone.to_ascii_lowercase().rsplit('/').next() == Some(&*city));
    of_city.cloned().or_else(|| nearest(name, names.iter().map(String::as_str)).map(str::to_owned))
}

fn timestamp(at: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(at).ok()
}
