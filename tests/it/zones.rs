//! Schedules by the clocks of a time zone.

use everpost::{Micros, Missed, Node, Schedule, ScheduleError};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker, read, workers};

/// 2024-03-30T12:00:00Z, in seconds: the night after that, clocks went from 02:00 to 03:00 in Berlin.
const DAY_BEFORE: u64 = 1_711_800_000;
const HOUR: u64 = 3600;

/// Half-past two of each day since then, in half hours after noon of the day before.
async fn half_hours(node: &Node) -> Vec<u32> {
    read(&node.actor::<Worker>("berlin")).await.entries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_of_day_is_that_of_its_zone() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let start = Micros(DAY_BEFORE * 1_000_000);
    let tick = Script::new([Step::Tick { start: start.0, period: HOUR / 2 * 1_000_000 }]);
    let nightly = Schedule::cron("30 2 * * *").unwrap().in_zone("Europe/Berlin").unwrap();
    let since_then = nightly.starting_at(start).missed(Missed::All).missed_within(std::time::Duration::MAX);
    let schedule = since_then.missed_max(u64::MAX);
    node.actor::<Worker>("berlin").schedule_named("nightly", tick, schedule.clone()).await.unwrap();
    soon("what was missed is sent", async {
        while half_hours(&node).await.len() < 250 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let sent = half_hours(&node).await;
    // 03:00 there, when the gap was over, is 13 hours later; half-past two of the day after 36 and a half.
    assert_eq!(sent[..3], [26, 73, 121]);
    // 211 days later the clocks were put back: from one half-past two, the first of that day, to the next it is 25
    // hours.
    let put_back = sent.windows(2).find(|days| days[1] - days[0] != 48 && days[0] > 26).unwrap();
    assert_eq!((put_back[0], put_back[1]), (73 + 48 * 209, 73 + 48 * 209 + 50));
    node.stop().await.unwrap();
    // The zone is part of what is stored.
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let timer = node.timers().get("nightly").await.unwrap().unwrap();
    assert_eq!(timer.schedule, schedule);
    assert!(timer.schedule.to_string().starts_with("cron 30 2 * * * in Europe/Berlin"), "{}", timer.schedule);
    let due = timer.next_due.unwrap().0 / 1_000_000;
    assert!(timer.missed == 0 && [HOUR / 2, HOUR, HOUR + HOUR / 2].contains(&(due % (24 * HOUR))), "{timer:?}");
    node.timers().cancel("nightly").await.unwrap();
    node.stop().await.unwrap();
}

#[test]
fn a_zone_that_is_none_is_refused_with_a_hint() {
    let nightly = Schedule::cron("30 2 * * *").unwrap();
    match nightly.in_zone("Europe/Berln") {
        Err(ScheduleError::Zone { zone, hint }) => assert!(zone == "Europe/Berln" && hint.contains("`Europe/Berlin`")),
        other => panic!("{other:?}"),
    }
}
