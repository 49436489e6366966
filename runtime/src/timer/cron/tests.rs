//! Expressions in virtual time, in UTC and over what real zones did.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn parse(expression: &str) -> Result<Cron, CronError> {
    Cron::parse(expression, None)
}

fn next(expression: &str, after: u64) -> Option<u64> {
    parse(expression).unwrap().next(Micros(after)).map(|moment| moment.0)
}

fn micros(moment: &str) -> Micros {
    Micros(moment.parse::<Timestamp>().unwrap().as_microsecond().cast_unsigned())
}

/// What an expression names in a zone after the one moment and up to the other, as UTC.
fn named(expression: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
    let cron = Cron::parse(expression, Some(zone)).unwrap();
    let (after, until) = (micros(after), micros(until));
    let follow = |moment: &Micros| cron.next(*moment);
    let found: Vec<_> = std::iter::successors(cron.next(after), follow).take_while(|moment| *moment <= until).collect();
    assert_eq!(cron.count(after, until), found.len() as u64);
    found.iter().map(|moment| Timestamp::from_microsecond(moment.0.cast_signed()).unwrap().to_string()).collect()
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
    for wrong in ["", "* * * *", "60 * * * *", "* 24 * * *", "* * * * FUN", "* * * * * UTC", "H * * * *", "* * * * * *"]
    {
        match parse(wrong) {
            Err(CronError::Expression(reason)) => assert!(!reason.is_empty(), "{wrong}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    assert_eq!(Cron::parse("* * * * *", Some("Europe/Berln")).unwrap_err(), CronError::Zone);
}

#[test]
fn a_zone_is_found_by_its_name_and_nearly_so() {
    assert_eq!(Cron::zone_name("europe/berlin").as_deref(), Some("Europe/Berlin"));
    for none in ["", "Berlin", "Etc/Unknown", "Europe/Berln", "../Europe/Berlin"] {
        assert_eq!(Cron::zone_name(none), None, "{none}");
    }
    for (meant, name) in
        [("Berlin", "Europe/Berlin"), ("Europe/Berln", "Europe/Berlin"), ("new york", "America/New_York")]
    {
        assert_eq!(Cron::zone_like(meant).as_deref(), Some(name));
    }
    assert_eq!(Cron::zone_like("middle earth, the shire"), None);
}

#[test]
fn a_time_that_is_skipped_comes_once_when_the_gap_is_over() {
    // Clocks went from 02:00 to 03:00.
    let days = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    let berlin = |expression| named(expression, "Europe/Berlin", days.0, days.1);
    assert_eq!(berlin("30 2 * * *"), ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(berlin("0 3 * * *"), ["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]);
    assert_eq!(berlin("0,20,40 2,3 29 * *"), ["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z", "2026-03-29T01:40:00Z"]);
    // From 02:00 to 02:30.
    let lord_howe = named("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-05T00:00:00Z");
    assert_eq!(lord_howe, ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    // The 30th of December did not come.
    let apia = |expression| named(expression, "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T23:00:00Z");
    assert_eq!(
        apia("0 3 * * *"),
        ["2011-12-29T13:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T13:00:00Z", "2011-12-31T13:00:00Z"]
    );
    assert_eq!(apia("0 3 30 12 *"), ["2011-12-30T10:00:00Z"]);
}

#[test]
fn a_time_that_comes_twice_counts_the_first_time() {
    // Clocks went from 03:00 to 02:00.
    let berlin = named("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(berlin, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let lord_howe = named("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-06T00:00:00Z");
    assert_eq!(lord_howe, ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]);
    // Asked within the second time: it has come.
    let cron = Cron::parse("30 2 * * *", Some("Europe/Berlin")).unwrap();
    assert_eq!(cron.next(micros("2026-10-25T01:10:00Z")), Some(micros("2026-10-26T01:30:00Z")));
}

#[test]
fn what_comes_at_any_hour_goes_through_both() {
    let quarters = |after, until| named("*/15 * * * *", "Europe/Berlin", after, until);
    assert_eq!(quarters("2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z").len(), 8, "through the hour that comes twice");
    assert_eq!(quarters("2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z").len(), 8, "as if there was no gap");
    let hourly = named("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
    assert_eq!(hourly, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
    let hourly = named("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(hourly, ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    // Once a year, and the clock is put back on that very day.
    let yearly = named("59 * 25 10 *", "Europe/Berlin", "2026-10-25T00:50:00Z", "2026-10-25T02:30:00Z");
    assert_eq!(yearly, ["2026-10-25T00:59:00Z", "2026-10-25T01:59:00Z"]);
}

/// A change of the clocks of a real zone.
fn changes() -> impl Strategy<Value = (&'static str, i64)> {
    let zones = prop_oneof![
        Just("Europe/Berlin"),
        Just("America/New_York"),
        Just("Australia/Lord_Howe"),
        Just("Pacific/Apia"),
        Just("Africa/Casablanca"),
        Just("America/St_Johns"),
        Just("Asia/Kolkata"),
        Just("Antarctica/Troll"),
        Just("Pacific/Kwajalein"),
        Just("Europe/Dublin"),
        Just("Asia/Gaza"),
    ];
    (zones, 1985..2040_i64).prop_map(|(name, year)| {
        let from = Timestamp::from_second((year - 1970) * 31_556_952).unwrap();
        let zone = TimeZone::get(name).unwrap();
        let change = zone.following(from).next();
        (name, change.map_or(from, |change| change.timestamp()).as_second().div_euclid(60))
    })
}

fn fields() -> impl Strategy<Value = (&'static str, &'static str)> {
    let minutes = prop_oneof![Just("0"), Just("30"), Just("*/15"), Just("*"), Just("5,45")];
    let hours = prop_oneof![Just("*"), Just("0"), Just("2"), Just("1-3"), Just("*/2"), Just("0-23"), Just("3,23")];
    (minutes, hours)
}

fn names(field: &str, value: i8) -> bool {
    field.split(',').any(|part| match (part, part.strip_prefix("*/"), part.split_once('-')) {
        ("*", ..) => true,
        (_, Some(step), _) => value % step.parse::<i8>().unwrap() == 0,
        (_, _, Some((from, to))) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&value),
        _ => part.parse() == Ok(value),
    })
}

/// Goes through all minutes, with what the clock shows in each, and its newest minute so far.
fn by_hand((minute_field, hour_field): (&str, &str), zone: &str, minutes: std::ops::Range<i64>) -> BTreeSet<i64> {
    let zone = TimeZone::get(zone).unwrap();
    let shown = |minute: i64| {
        let shown = zone.to_datetime(Timestamp::from_second(minute * 60).unwrap());
        shown.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second() / 60
    };
    let is_named = |shown: i64| {
        names(minute_field, i8::try_from(shown % 60).unwrap())
            && names(hour_field, i8::try_from(shown / 60 % 24).unwrap())
    };
    let any_hour = ["*", "0-23"].contains(&hour_field);
    let mut newest = (minutes.start - 3000..minutes.start).map(shown).max().unwrap();
    let mut found = BTreeSet::new();
    for minute in minutes {
        let now = shown(minute);
        if if any_hour { is_named(now) } else { (newest + 1..=now).any(is_named) } {
            found.insert(minute);
        }
        newest = newest.max(now);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn over_every_change_of_the_clocks_it_is_what_going_through_all_minutes_finds(
        fields in fields(),
        (zone, change) in changes(),
    ) {
        let (first, last) = (change - 1800, change + 1800);
        let expected: Vec<i64> = by_hand(fields, zone, first..last + 1).into_iter().collect();
        let cron = Cron::parse(&format!("{} {} * * *", fields.0, fields.1), Some(zone)).unwrap();
        let micros = |minute: i64| Micros(minute.cast_unsigned() * MINUTE);
        let (after, until) = (Micros(micros(first).0 - 1), micros(last));
        let found =
            std::iter::successors(cron.next(after), |moment| cron.next(*moment)).take_while(|moment| *moment <= until);
        let found: Vec<i64> = found.map(|moment| (moment.0 / MINUTE).cast_signed()).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(cron.count(after, until), expected.len() as u64);
        for (index, minute) in expected.iter().enumerate().step_by(7) {
            prop_assert_eq!(cron.count(micros(*minute), until), (expected.len() - index - 1) as u64);
            prop_assert_eq!(cron.newest(micros(expected[0]), micros(*minute)), micros(*minute));
        }
    }
}

proptest! {
    #[test]
    fn the_next_of_a_daily_expression_is_within_a_day(
        minute in 0..60_u64,
        hour in 0..24_u64,
        after in 0..u64::from(u32::MAX) * 1_000_000,
    ) {
        let found = next(&format!("{minute} {hour} * * *"), after).unwrap();
        prop_assert!(after < found && found <= after + DAY);
        prop_assert_eq!(found % DAY, (hour * 60 + minute) * MINUTE);
    }

    #[test]
    fn any_text_is_an_expression_or_refused(text in "[-0-9*/,a-zA-Z# LW]{0,24}", after: u64) {
        if let Ok(cron) = parse(&text) {
            prop_assert!(cron.next(Micros(after)).is_none_or(|found| found.0 > after));
        }
    }

    #[test]
    fn a_count_is_how_many_there_are(
        days in prop_oneof![Just("* * *"), Just("1-7 * MON"), Just("*/3 2,3 *")],
        after in 0..400 * DAY,
        span in 0..90 * DAY,
    ) {
        let cron = parse(&format!("7,*/20 */6 {days}")).unwrap();
        let (after, until) = (Micros(after), Micros(after + span));
        let found =
            std::iter::successors(cron.next(after), |moment| cron.next(*moment)).take_while(|moment| *moment <= until);
        prop_assert_eq!(cron.count(after, until), found.count() as u64);
    }
}
