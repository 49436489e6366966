//! Ticks in virtual time.

use proptest::prelude::*;

use super::*;
use crate::timer::Schedule;

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

type Made = (Beat, CatchUp);

fn made(schedule: Schedule, missed: Missed) -> Made {
    let plan = schedule.missed(missed).into_plan();
    (plan.beat().unwrap(), plan.catch_up)
}

fn every(period: Duration, missed: Missed) -> Made {
    made(Schedule::every(period).unwrap(), missed)
}

fn cron(expression: &str, missed: Missed) -> Made {
    made(Schedule::cron(expression).unwrap(), missed)
}

/// The ticks that are sent, how many are left out, and when the next is due; three at a time.
fn round((beat, catch_up): &Made, due: u64, now: u64) -> (Vec<u64>, u64, Option<u64>) {
    let Round { ticks, missed, next, .. } = beat.round(*catch_up, due, now, 3);
    (ticks.to_vec(), missed, next)
}

#[test]
fn a_single_tick_is_sent_however_late_it_is() {
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let once = made(Schedule::after(Duration::ZERO), missed);
        assert_eq!(round(&once, 5, 5), (vec![5], 0, None));
        assert_eq!(round(&once, 5, 90 * DAY), (vec![5], 0, None));
    }
}

#[test]
fn ticks_in_time_are_sent_under_every_policy() {
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let hourly = every(Duration::from_secs(3600), missed);
        assert_eq!(round(&hourly, HOUR, HOUR), (vec![HOUR], 0, Some(2 * HOUR)));
        assert_eq!(round(&hourly, HOUR, HOUR + 3 * SECOND), (vec![HOUR], 0, Some(2 * HOUR)));
        let nightly = cron("0 3 * * *", missed);
        assert_eq!(round(&nightly, 3 * HOUR, 3 * HOUR + 1), (vec![3 * HOUR], 0, Some(DAY + 3 * HOUR)));
    }
}

#[test]
fn missed_ticks_are_left_out_or_sent_as_one_or_each_by_itself() {
    let within =
        |(beat, catch_up): Made| (beat, CatchUp { within: 5 * micros(Duration::from_secs(86_400)), ..catch_up });
    for (due, step, made) in [
        (HOUR, HOUR, &(|missed| within(every(Duration::from_secs(3600), missed))) as &dyn Fn(Missed) -> Made),
        (3 * HOUR, DAY, &|missed| within(cron("0 3 * * *", missed))),
    ] {
        // Four have come, the newest a minute ago.
        let now = due + 3 * step + 60 * SECOND;
        assert_eq!(round(&made(Missed::Skip), due, now), (vec![], 4, Some(due + 4 * step)));
        assert_eq!(round(&made(Missed::Once), due, now), (vec![due + 3 * step], 3, Some(due + 4 * step)));
        let (first, second) = (vec![due, due + step, due + 2 * step], vec![due + 3 * step]);
        assert_eq!(round(&made(Missed::All), due, now), (first, 0, Some(due + 3 * step)), "three at a time");
        assert_eq!(round(&made(Missed::All), due + 3 * step, now), (second, 0, Some(due + 4 * step)));
        // The newest has just come.
        let now = due + 3 * step + SECOND;
        assert_eq!(round(&made(Missed::Skip), due, now), (vec![due + 3 * step], 3, Some(due + 4 * step)));
    }
}

#[test]
fn of_ticks_that_were_missed_for_a_month_the_newest_thousand_of_a_day_are_sent() {
    let month = 30 * DAY;
    let (dense, catch_up) = every(Duration::from_millis(35), Missed::All);
    let now = month + 17;
    let all = (now - DAY) / 35_000 + 1;
    let Round { ticks, missed, next, .. } = dense.round(catch_up, DAY, now, 64);
    let newest = DAY + (all - 1) * 35_000;
    assert_eq!((missed, ticks[0], ticks.len()), (all - 1000, newest - 999 * 35_000, 64));
    assert_eq!(dense.round(catch_up, next.unwrap(), now, 64).missed, 0, "the others follow");
    // Fewer than a thousand came within the day.
    let (hourly, catch_up) = every(Duration::from_secs(3600), Missed::All);
    let Round { ticks, missed, .. } = hourly.round(catch_up, 0, month, 64);
    assert_eq!((missed, ticks[0], ticks.len()), (29 * 24, 29 * DAY, 25));
    let (minutely, catch_up) = cron("* * * * *", Missed::All);
    let Round { ticks, missed, .. } = minutely.round(catch_up, 0, month, 64);
    assert_eq!((missed, ticks[0]), (30 * 1440 + 1 - 1000, month - 999 * 60 * SECOND));
    // None did.
    let (nightly, catch_up) = cron("0 3 * * *", Missed::All);
    let short = CatchUp { within: 5, ..catch_up };
    let Round { ticks, missed, next, .. } = nightly.round(short, 3 * HOUR, month, 64);
    assert_eq!((missed, ticks.len(), next), (30, 0, Some(month + 3 * HOUR)));
    let Round { ticks, .. } = nightly.round(short, month + 3 * HOUR, month + 3 * HOUR + 9 * SECOND, 64);
    assert_eq!(ticks.len(), 1, "one in time is sent whatever the window");
}

#[test]
fn the_newest_moment_of_a_dense_expression_is_found_far_away() {
    let made = cron("* * 1 1 *", Missed::Once);
    let new_years_eve = 364 * DAY + 5 * HOUR;
    assert_eq!(round(&made, 60 * SECOND, new_years_eve), (vec![DAY - 60 * SECOND], 1438, Some(365 * DAY)));
}

#[test]
fn a_schedule_ends_at_the_end_of_time() {
    let hourly = every(Duration::from_secs(3600), Missed::Once);
    assert_eq!(round(&hourly, u64::MAX - 5, u64::MAX), (vec![u64::MAX - 5], 0, None));
    let longest = every(Duration::MAX, Missed::All);
    assert_eq!(round(&longest, 5, 6), (vec![5], 0, None));
    assert_eq!(round(&longest, 5, u64::MAX), (vec![], 1, None), "it is too old");
    let dense = every(Duration::from_millis(1), Missed::All);
    let (ticks, missed, _) = round(&dense, 0, u64::MAX);
    assert_eq!((ticks.len(), missed), (3, u64::MAX / 1000 + 1 - 1000));
}

fn made_any() -> impl Strategy<Value = (Made, u64)> {
    let missed = prop_oneof![Just(Missed::Skip), Just(Missed::Once), Just(Missed::All)];
    let catch_up = (0..2 * DAY, 0..40_u64);
    (prop_oneof![(1..7200_u64).prop_map(Some), Just(None)], missed, catch_up).prop_map(
        |(seconds, missed, (within, max))| {
            let (schedule, period) = match seconds {
                Some(seconds) => (Schedule::every(Duration::from_secs(seconds)).unwrap(), seconds * SECOND),
                None => (Schedule::cron("*/20 * * * *").unwrap(), 20 * 60 * SECOND),
            };
            let schedule = schedule.missed_within(Duration::from_micros(within)).missed_max(max);
            (made(schedule, missed), period)
        },
    )
}

proptest! {
    /// Against going through all of them.
    #[test]
    fn a_round_sends_the_newest_that_may_be_sent_and_counts_the_others(
        ((beat, catch_up), period) in made_any(),
        come in 0..300_u64,
        late in 0..30 * SECOND,
    ) {
        let due = 10 * DAY;
        let now = due + come * period + late % period;
        let ticks: Vec<u64> = (0..=come).map(|tick| due + tick * period).collect();
        let newest = *ticks.last().unwrap();
        let young = |tick: &&u64| now - **tick <= catch_up.within.max(10 * SECOND);
        let expected: Vec<u64> = match catch_up.missed {
            Missed::Skip if now - newest > 10 * SECOND => Vec::new(),
            Missed::Skip | Missed::Once => vec![newest],
            Missed::All => {
                let young: Vec<u64> = ticks.iter().filter(young).copied().collect();
                // A single one is as good as any number.
                young[young.len().saturating_sub(catch_up.max.max(1) as usize)..].to_vec()
            }
        };
        let mut sent = Vec::new();
        let (mut due, mut missed) = (due, 0);
        while due <= now {
            let round = beat.round(catch_up, due, now, 7);
            prop_assert!(round.ticks.len() <= 7 && round.newest < round.next.unwrap());
            sent.extend(round.ticks);
            missed += round.missed;
            due = round.next.unwrap();
        }
        prop_assert_eq!(missed + sent.len() as u64, come + 1);
        prop_assert_eq!(sent, expected);
        prop_assert_eq!(due, newest + period);
    }

    #[test]
    fn the_first_tick_from_a_moment_on_is_of_the_same_rhythm(
        ((beat, _), period) in made_any(),
        known in 0..400_u64,
        moment in 0..30 * DAY,
    ) {
        let known = 10 * DAY + known * period;
        let found = beat.from(known, moment).unwrap();
        prop_assert!(found >= moment && found - moment < period);
        prop_assert_eq!(found.abs_diff(known) % period, 0);
    }
}
