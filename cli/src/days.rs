//! Dates, in whole days as people read them.

use time::{Duration, OffsetDateTime};

/// The present.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// `2027-03-01 (in 99 days)`, or how long ago.
pub(crate) fn relative(moment: OffsetDateTime, now: OffsetDateTime) -> String {
    let days = (moment - now).whole_days();
    let distance = match days {
        0 if moment < now => "less than a day ago".to_owned(),
        0 => "in less than a day".to_owned(),
        ..0 => format!("{} ago", count(days.unsigned_abs())),
        1.. => format!("in {}", count(days.unsigned_abs())),
    };
    format!("{} ({distance})", moment.date())
}

/// `moment` and so many days.
pub(crate) fn later(moment: OffsetDateTime, days: u32) -> OffsetDateTime {
    moment.saturating_add(Duration::days(days.into()))
}

fn count(days: u64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_told_with_its_distance() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(relative(later(now, 31), now), "1970-02-01 (in 31 days)");
        assert_eq!(relative(later(now, 1), now), "1970-01-02 (in 1 day)");
        assert_eq!(relative(now, later(now, 2)), "1970-01-01 (2 days ago)");
        assert_eq!(relative(now + Duration::hours(1), now), "1970-01-01 (in less than a day)");
        assert_eq!(relative(now, now + Duration::hours(1)), "1970-01-01 (less than a day ago)");
    }
}
