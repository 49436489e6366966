//! Plans in virtual time, and clocks that are set.

use proptest::prelude::*;

use super::super::beat::Round;
use super::*;
use crate::timer::{Schedule, ScheduleError};

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

fn at(steady: u64, wall: u64) -> Now {
    Now { steady: Steady(steady), wall: Micros(wall) }
}

fn first(schedule: &Schedule, now: Now) -> Due {
    let plan = schedule.clone().into_plan();
    plan.due(plan.first(&plan.beat().unwrap(), now).unwrap())
}

#[test]
fn waits_begin_on_the_timeline_and_moments_on_the_wall_clock() {
    let now = at(5 * DAY, DAY);
    let (steady, wall) = (|moment| Due::Steady(Steady(moment)), |moment| Due::Wall(Micros(moment)));
    assert_eq!(first(&Schedule::after(Duration::from_secs(5)), now), steady(5 * DAY + 5 * SECOND));
    assert_eq!(first(&Schedule::at(Micros(7)), now), wall(7));
    let hourly = Schedule::every(Duration::from_secs(3600)).unwrap();
    assert_eq!(first(&hourly, now), steady(5 * DAY + HOUR));
    assert_eq!(first(&hourly.starting_at(Micros(9)), now), wall(9));
    let nightly = Schedule::cron("0 3 * * *").unwrap();
    assert_eq!(first(&nightly, now), wall(DAY + 3 * HOUR));
    assert_eq!(first(&nightly.clone().starting_at(Micros(3 * HOUR)), now), wall(3 * HOUR), "that moment counts");
    assert_eq!(first(&nightly.starting_at(Micros(3 * HOUR + 1)), now), wall(DAY + 3 * HOUR));
    assert_eq!(first(&Schedule::after(Duration::MAX), now), Due::Never);
}

#[test]
fn moments_of_both_clocks_are_shown_as_wall_time() {
    let now = at(5 * DAY, DAY);
    let wait = Schedule::after(Duration::ZERO).into_plan();
    assert_eq!((wait.wall_of(5 * DAY + 3, now), wait.wall_of(5 * DAY - 3, now)), (Micros(DAY + 3), Micros(DAY - 3)));
    assert_eq!((wait.wall_of(0, now), wait.wall_of(u64::MAX, now)), (Micros(0), Micros(u64::MAX - 4 * DAY)));
    assert_eq!(Schedule::at(Micros(7)).into_plan().wall_of(9, now), Micros(9));
}

fn due_after_all(schedule: Schedule, due: u64, newest: u64, now: Now) -> u64 {
    let plan = schedule.into_plan();
    plan.due_after_all(&plan.beat().unwrap(), due, newest, now)
}

#[test]
fn a_clock_that_was_put_back_by_some_hours_lets_ticks_wait_and_by_more_is_believed() {
    let nightly = || Schedule::cron("0 3 * * *").unwrap();
    let newest = 9 * DAY + 3 * HOUR;
    let (due, now) = (10 * DAY + 3 * HOUR, |wall| at(0, wall));
    assert_eq!(due_after_all(nightly(), due, newest, now(newest + HOUR)), due);
    assert_eq!(due_after_all(nightly(), due, newest, now(newest - 3 * HOUR)), due, "nothing is sent again");
    assert_eq!(
        due_after_all(nightly(), due, newest, now(newest - 3 * HOUR - 1)),
        newest,
        "it goes on from the present"
    );
    // The clock was right again after it had been twelve years ahead.
    assert_eq!(due_after_all(nightly(), due + 12 * YEAR, newest + 12 * YEAR, now(newest + HOUR)), due);
    // A start that has not come is waited for.
    let later = || nightly().starting_at(Micros(20 * DAY));
    assert_eq!(due_after_all(later(), 20 * DAY + 3 * HOUR, 9 * DAY, now(9 * DAY)), 20 * DAY + 3 * HOUR);
    assert_eq!(due_after_all(later(), 20 * DAY + 3 * HOUR, 9 * DAY, now(DAY)), 20 * DAY + 3 * HOUR);
    assert_eq!(due_after_all(later(), 20 * DAY + 3 * HOUR + 12 * YEAR, 12 * YEAR, now(DAY)), 20 * DAY + 3 * HOUR);
    let hourly = Schedule::every(Duration::from_secs(3600)).unwrap().starting_at(Micros(5));
    assert_eq!(due_after_all(hourly, DAY + 5, DAY, now(4 * HOUR)), 4 * HOUR + 5);
    assert_eq!(due_after_all(Schedule::at(Micros(YEAR)), YEAR, 9 * DAY, now(0)), YEAR, "that moment was named");
}

#[test]
fn no_wait_is_longer_than_it_was_to_be() {
    let now = at(DAY, 0);
    let every = Schedule::every(Duration::from_secs(60)).unwrap();
    assert_eq!(due_after_all(every.clone(), DAY + 7, 0, now), DAY + 7);
    assert_eq!(due_after_all(every, YEAR, 0, now), DAY + 60 * SECOND);
    assert_eq!(due_after_all(Schedule::after(Duration::from_secs(5)), YEAR, 0, now), DAY + 5 * SECOND);
}

#[test]
fn what_cannot_be_a_schedule_is_refused() {
    assert!(matches!(Schedule::every(Duration::ZERO), Err(ScheduleError::Period(_))));
    assert!(matches!(Schedule::every(Duration::from_micros(999)), Err(ScheduleError::Period(_))));
    assert!(Schedule::every(Duration::from_millis(1)).is_ok() && Schedule::every(Duration::MAX).is_ok());
    let refused = Schedule::cron("60 * * * *").unwrap_err();
    assert!(matches!(&refused, ScheduleError::Cron { .. }), "{refused}");
    assert!(matches!(Schedule::cron("0 0 30 2 *"), Err(ScheduleError::Never { .. })));
    let nightly = Schedule::cron("0 3 * * *").unwrap();
    let refused = nightly.clone().in_zone("Berlin").unwrap_err();
    assert_eq!(refused.to_string(), "there is no time zone `Berlin`; did you mean `Europe/Berlin`?");
    assert!(matches!(nightly.in_zone("middle earth, the shire"), Err(ScheduleError::Zone { .. })));
    let refused = Schedule::after(Duration::ZERO).in_zone("Europe/Berlin").unwrap_err();
    assert!(matches!(refused, ScheduleError::ZoneWithoutCron { .. }));
}

#[test]
fn a_schedule_reads_as_people_say_it() {
    let every = Schedule::every(Duration::from_secs(90)).unwrap();
    assert_eq!(every.to_string(), "every 90s");
    assert_eq!(every.starting_at(Micros(0)).to_string(), "every 90s, from 1970-01-01T00:00:00Z");
    assert_eq!(Schedule::at(Micros(SECOND)).to_string(), "once, at 1970-01-01T00:00:01Z");
    assert_eq!(Schedule::after(Duration::from_millis(5)).to_string(), "once, after 5ms");
    let nightly = Schedule::cron(" 0  3 * * * ").unwrap();
    assert_eq!(nightly.to_string(), "cron 0 3 * * * in UTC");
    assert_eq!(nightly.in_zone("europe/berlin").unwrap().to_string(), "cron 0 3 * * * in Europe/Berlin");
}

/// What the believed wall clock does between two looks.
fn leaps() -> impl Strategy<Value = Vec<i64>> {
    let [hour, day, year] = [HOUR, DAY, YEAR].map(u64::cast_signed);
    let leap = prop_oneof![
        8 => 0..90 * SECOND.cast_signed(),
        1 => Just(hour),
        1 => Just(-hour),
        1 => Just(3 * day),
        1 => Just(-day),
        1 => Just(12 * year),
        1 => Just(-12 * year),
    ];
    proptest::collection::vec(leap, 1..60)
}

fn schedules() -> impl Strategy<Value = (Schedule, u64)> {
    let missed = prop_oneof![Just(Missed::Skip), Just(Missed::Once), Just(Missed::All)];
    (prop_oneof![(1..7200_u64).prop_map(Some), Just(None)], missed).prop_map(|(seconds, missed)| match seconds {
        Some(seconds) => {
            let every = Schedule::every(Duration::from_secs(seconds)).unwrap();
            (every.starting_at(Micros(20 * YEAR)).missed(missed), seconds * SECOND)
        }
        None => (Schedule::cron("*/20 * * * *").unwrap().missed(missed), 20 * 60 * SECOND),
    })
}

proptest! {
    /// As the task does it that fires timers: it looks, sets right what waits because the clock was put back, and
    /// fires.
    #[test]
    fn whatever_is_believed_of_the_clock_no_tick_is_sent_early_or_twice_and_none_is_silent(
        (schedule, period) in schedules(),
        leaps in leaps(),
    ) {
        let plan = schedule.into_plan();
        let beat = plan.beat().unwrap();
        let mut wall = 20 * YEAR;
        let mut due = plan.first(&beat, at(0, wall)).unwrap();
        let (mut newest, mut seen, mut sent) = (wall, wall, Vec::new());
        for leap in leaps {
            wall = wall.saturating_add_signed(leap);
            if seen.saturating_sub(wall) > micros(PUT_BACK_MAX) {
                due = plan.due_after_all(&beat, due, newest, at(0, wall));
                // What was sent of a time that has not come counts no more.
                seen = wall;
                if newest.saturating_sub(wall) > micros(PUT_BACK_MAX) {
                    sent.clear();
                }
            }
            seen = seen.max(wall);
            while due <= wall {
                let Round { ticks, missed, newest: come, next } = beat.round(plan.catch_up, due, wall, 64);
                prop_assert!(ticks.iter().all(|tick| *tick <= wall), "none is early");
                prop_assert!(missed > 0 || !ticks.is_empty());
                sent.extend(ticks);
                (newest, due) = (come, next.unwrap());
            }
            let start = if let Begin::At(start) = plan.begin { start.0 } else { 0 };
            prop_assert!(due - wall.max(start) <= period + micros(PUT_BACK_MAX), "none is silent");
        }
        prop_assert!(sent.is_sorted_by(|one, other| one < other), "no tick is sent twice");
        prop_assert!(sent.iter().all(|tick| tick.is_multiple_of(period) || (tick - 20 * YEAR).is_multiple_of(period)));
    }
}
