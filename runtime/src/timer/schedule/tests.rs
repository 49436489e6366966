//! Schedules in virtual time.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

fn every(period: Duration, missed: Missed) -> Rhythm {
    Schedule::every(period).unwrap().missed(missed).into_rhythm()
}

fn cron(expression: &str, missed: Missed) -> Rhythm {
    Schedule::cron(expression).unwrap().missed(missed).into_rhythm()
}

fn round(rhythm: &Rhythm, due: u64, now: u64) -> (Vec<u64>, Option<u64>) {
    let Round { ticks, next } = rhythm.round(Micros(due), Micros(now), 3);
    (ticks.iter().map(|tick| tick.0).collect(), next.map(|next| next.0))
}

#[test]
fn the_first_tick_is_where_the_schedule_begins() {
    let now = Micros(DAY);
    let first = |schedule: &Schedule| schedule.first(now).unwrap().0;
    assert_eq!(first(&Schedule::after(Duration::from_secs(5))), DAY + 5 * SECOND);
    assert_eq!(first(&Schedule::at(Micros(7))), 7);
    let hourly = Schedule::every(Duration::from_secs(3600)).unwrap();
    assert_eq!(first(&hourly), DAY + HOUR);
    assert_eq!(first(&hourly.starting_at(Micros(9))), 9);
    let nightly = Schedule::cron("0 3 * * *").unwrap();
    assert_eq!(first(&nightly), DAY + 3 * HOUR);
    assert_eq!(first(&nightly.clone().starting_at(Micros(3 * HOUR))), 3 * HOUR, "that moment counts");
    assert_eq!(first(&nightly.starting_at(Micros(3 * HOUR + 1))), DAY + 3 * HOUR);
}

#[test]
fn a_single_tick_is_sent_however_late_it_is() {
    assert_eq!(round(&Rhythm::Once, 5, 5), (vec![5], None));
    assert_eq!(round(&Rhythm::Once, 5, 90 * DAY), (vec![5], None));
}

#[test]
fn ticks_in_time_are_sent_under_every_policy() {
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let hourly = every(Duration::from_secs(3600), missed);
        assert_eq!(round(&hourly, HOUR, HOUR), (vec![HOUR], Some(2 * HOUR)));
        assert_eq!(round(&hourly, HOUR, HOUR + 3 * SECOND), (vec![HOUR], Some(2 * HOUR)));
        let nightly = cron("0 3 * * *", missed);
        assert_eq!(round(&nightly, 3 * HOUR, 3 * HOUR + 1), (vec![3 * HOUR], Some(DAY + 3 * HOUR)));
    }
}

#[test]
fn missed_ticks_are_left_out_or_sent_as_one_or_each_by_itself() {
    for (due, step, rhythm) in [
        (HOUR, HOUR, &(|missed| every(Duration::from_secs(3600), missed)) as &dyn Fn(Missed) -> Rhythm),
        (3 * HOUR, DAY, &|missed| cron("0 3 * * *", missed)),
    ] {
        // Four have come, the newest a minute ago.
        let now = due + 3 * step + 60 * SECOND;
        assert_eq!(round(&rhythm(Missed::Skip), due, now), (vec![], Some(due + 4 * step)));
        assert_eq!(round(&rhythm(Missed::Once), due, now), (vec![due + 3 * step], Some(due + 4 * step)));
        let (first, second) = (vec![due, due + step, due + 2 * step], vec![due + 3 * step]);
        assert_eq!(round(&rhythm(Missed::All), due, now), (first, Some(due + 3 * step)), "three at a time");
        assert_eq!(round(&rhythm(Missed::All), due + 3 * step, now), (second, Some(due + 4 * step)));
        // The newest has just come.
        let now = due + 3 * step + SECOND;
        assert_eq!(round(&rhythm(Missed::Skip), due, now), (vec![due + 3 * step], Some(due + 4 * step)));
    }
}

#[test]
fn the_newest_moment_of_a_dense_expression_is_found_far_away() {
    let rhythm = cron("* * 1 1 *", Missed::Once);
    let new_years_eve = 364 * DAY + 5 * HOUR;
    assert_eq!(round(&rhythm, 60 * SECOND, new_years_eve), (vec![DAY - 60 * SECOND], Some(365 * DAY)));
}

#[test]
fn a_schedule_ends_at_the_end_of_time() {
    let hourly = every(Duration::from_secs(3600), Missed::Once);
    assert_eq!(round(&hourly, u64::MAX - 5, u64::MAX), (vec![u64::MAX - 5], None));
}

#[test]
fn what_cannot_be_a_schedule_is_refused() {
    assert!(matches!(Schedule::every(Duration::ZERO), Err(ScheduleError::Period(_))));
    assert!(Schedule::every(PERIOD_MIN).is_ok());
    let refused = Schedule::cron("60 * * * *").unwrap_err();
    assert!(matches!(&refused, ScheduleError::Cron { .. }), "{refused}");
    assert!(matches!(Schedule::cron("0 0 30 2 *"), Err(ScheduleError::Never { .. })));
}

/// What the clock does between two looks.
fn leaps() -> impl Strategy<Value = Vec<i64>> {
    let small = 0..90 * 1_000_000_i64;
    let leap = prop_oneof![
        8 => small,
        1 => Just(i64::try_from(HOUR).unwrap()),
        1 => Just(-i64::try_from(HOUR).unwrap()),
        1 => Just(i64::try_from(3 * DAY).unwrap()),
    ];
    proptest::collection::vec(leap, 1..60)
}

fn rhythms() -> impl Strategy<Value = (Rhythm, u64, Missed)> {
    let missed = prop_oneof![Just(Missed::Skip), Just(Missed::Once), Just(Missed::All)];
    (prop_oneof![(1..7200_u64).prop_map(Some), Just(None)], missed).prop_map(|(seconds, missed)| match seconds {
        Some(seconds) => (every(Duration::from_secs(seconds), missed), seconds * SECOND, missed),
        None => (cron("*/20 * * * *", missed), 20 * 60 * SECOND, missed),
    })
}

proptest! {
    #[test]
    fn whatever_the_clock_does_no_tick_is_sent_twice_and_none_is_lost((rhythm, period, missed) in rhythms(), leaps in leaps()) {
        let first = 10 * DAY;
        let (mut now, mut newest_now, mut due) = (first, 0, first);
        let mut sent = Vec::new();
        for leap in leaps {
            now = now.saturating_add_signed(leap);
            newest_now = now.max(newest_now);
            let mut at_once = 0;
            while due <= now {
                let Round { ticks, next } = rhythm.round(Micros(due), Micros(now), 5);
                prop_assert!(ticks.iter().all(|tick| tick.0 <= now));
                prop_assert!(missed != Missed::Skip || ticks.iter().all(|tick| now - tick.0 < period.min(PUNCTUAL.as_micros() as u64 + 1)));
                at_once += ticks.len();
                sent.extend(ticks.into_iter().map(|tick| tick.0));
                due = next.unwrap().0;
            }
            prop_assert!(missed == Missed::All || at_once <= 1);
        }
        prop_assert!(sent.is_sorted_by(|one, other| one < other), "no tick is sent twice");
        prop_assert!(sent.iter().all(|tick| (tick - first).is_multiple_of(period)));
        if missed == Missed::All {
            let expected = if newest_now < first { 0 } else { (newest_now - first) / period + 1 };
            prop_assert_eq!(sent.len() as u64, expected, "each tick is sent once");
        }
        // The newest that has come is sent, unless it was missed and is to be left out.
        if missed == Missed::Once && newest_now >= first {
            prop_assert_eq!(sent.last(), Some(&(first + (newest_now - first) / period * period)));
        }
    }
}
