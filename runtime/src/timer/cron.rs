//! Cron expressions in UTC: what they may say, and when they are due next. Pure: the moment is handed in.

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};

use crate::clock::Micros;

/// How far the crate looks ahead.
const LOOK_AHEAD: Duration = Duration::from_secs(4 * 365 * 24 * 60 * 60);
/// How often it is asked to look further: a 29th of February can be 8 years away, and one on a certain day of the week 40.
const LOOKS: u32 = 11;
/// In the year 9987: looking ahead from later would leave what the crate calls time.
const LATEST: Micros = Micros(253_000_000_000_000_000);

/// A cron expression that was understood.
#[derive(Debug)]
pub(crate) struct Cron(Crontab);

impl Cron {
    /// Reads the five fields of an expression.
    pub(crate) fn parse(expression: &str) -> Result<Self, String> {
        let fields = expression.split_whitespace().count();
        if fields != 5 {
            return Err(format!(
                "it has {fields} fields, and must have 5: minute, hour, day of month, month, day of week"
            ));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        cronexpr::parse_crontab_with(expression, options).map(Self).map_err(|error| error.to_string())
    }

    /// The first moment after `after` that it names; none when there is no such moment.
    pub(crate) fn next(&self, after: Micros) -> Option<Micros> {
        let mut after = after;
        for _ in 0..LOOKS {
            if after > LATEST {
                return None;
            }
            let from = MakeTimestamp::from_microsecond(i64::try_from(after.0).ok()?).ok()?;
            if let Ok(next) = self.0.find_next(from) {
                return u64::try_from(next.timestamp().as_microsecond()).ok().map(Micros);
            }
            after = after.plus(LOOK_AHEAD);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60_000_000;
    const DAY: u64 = 24 * 60 * MINUTE;

    fn next(expression: &str, after: u64) -> Option<u64> {
        Cron::parse(expression).unwrap().next(Micros(after)).map(|moment| moment.0)
    }

    #[test]
    fn the_next_moment_is_after_the_given_one() {
        assert_eq!(next("* * * * *", 0), Some(MINUTE));
        assert_eq!(next("* * * * *", MINUTE - 1), Some(MINUTE));
        assert_eq!(next("* * * * *", MINUTE), Some(2 * MINUTE));
        assert_eq!(next("0 3 * * *", 0), Some(180 * MINUTE));
        assert_eq!(next("0 3 * * *", 180 * MINUTE), Some(DAY + 180 * MINUTE));
        // 1970 began on a Thursday.
        assert_eq!(next("30 0 * * MON", 0), Some(4 * DAY + 30 * MINUTE));
    }

    #[test]
    fn what_is_rare_is_found_and_what_never_comes_is_not() {
        assert_eq!(next("0 0 29 2 *", 0), Some(789 * DAY), "1972-02-29");
        // 2100 is no leap year: from 2096-02-29 it is 8 years.
        let leap_day = 46_080 * DAY;
        assert_eq!(next("0 0 29 2 *", leap_day - 1), Some(leap_day), "2096-02-29");
        assert_eq!(next("0 0 29 2 *", leap_day), Some(leap_day + 2921 * DAY), "2104-02-29");
        // Both fields hold when one begins with a star: the 1sts and 29ths of February that are Sundays.
        assert_eq!(next("0 0 */28 2 SUN", 1), Some(31 * DAY), "1970-02-01");
        assert_eq!(next("0 0 30 2 *", 0), None);
        assert_eq!(next("* * * * *", u64::MAX), None, "the end of time");
    }

    #[test]
    fn what_is_no_expression_is_refused_with_a_reason() {
        for wrong in
            ["", "* * * *", "60 * * * *", "* 24 * * *", "* * * * FUN", "* * * * * UTC", "H * * * *", "* * * * * *"]
        {
            let reason = Cron::parse(wrong).unwrap_err();
            assert!(!reason.is_empty(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_next_of_a_daily_expression_is_within_a_day(minute in 0..60_u64, hour in 0..24_u64, after in 0..u64::from(u32::MAX) * 1_000_000) {
            let found = next(&format!("{minute} {hour} * * *"), after).unwrap();
            prop_assert!(after < found && found <= after + DAY);
            prop_assert_eq!(found % DAY, (hour * 60 + minute) * MINUTE);
        }

        #[test]
        fn any_text_is_an_expression_or_refused(text in "[-0-9*/,a-zA-Z# LW]{0,24}", after: u64) {
            if let Ok(cron) = Cron::parse(&text) {
                prop_assert!(cron.next(Micros(after)).is_none_or(|found| found.0 > after));
            }
        }
    }
}
