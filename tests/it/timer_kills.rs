//! Timers over SIGKILL at random moments.

use std::path::Path;
use std::time::Duration;

use everpost::{Micros, Missed, Schedule, TimerId};
use everpost_tests::child::Child;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Event, Setup};
use everpost_tests::seeds::{Random, seeds};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read, workers};

const KILLS: u32 = 12;
/// A child is killed after it has handled this many ticks, at most.
const TICKS_MAX: u64 = 150;
const PERIOD: Duration = Duration::from_millis(10);
const SINGLE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_every_tick_has_its_effect_once() {
    for seed in seeds("timer_kills::killed_at_random_moments_every_tick_has_its_effect_once", 2) {
        let folder = everpost_tests::folder();
        let mut random = seed.random();
        let (start, timers) = set_many(folder.path(), &mut random).await;
        for _ in 0..KILLS {
            live_and_die(folder.path(), &mut random).await;
        }
        let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
        let last = (Micros::now().0 - start.0) / PERIOD.as_micros() as u64;
        let caught_up = async {
            while read(&node.actor::<Worker>("all")).await.entries.last().is_none_or(|tick| u64::from(*tick) < last) {
                tokio::time::sleep(PERIOD).await;
            }
        };
        soon("I8: what was missed is caught up with", caught_up).await;
        for timer in timers {
            assert!(node.timers().cancel(timer).await.unwrap());
        }
        eventually("those that fire once have fired", || node.statistics().timers == 0).await;
        soon("I8: everything drains", node.drained()).await.unwrap();
        for entries in
            [read(&node.actor::<Worker>("all")).await.entries, read(&node.actor::<Quick>("all")).await.entries]
        {
            let ticks = u32::try_from(entries.len()).unwrap();
            assert_eq!(entries, (0..ticks).collect::<Vec<_>>(), "each tick once, in order");
            eprintln!("seed {}: {KILLS} kills, {ticks} ticks of one timer", seed.value());
        }
        let once = read(&node.actor::<Worker>("once")).await.entries;
        assert!(once.is_sorted_by(|tick, next| tick < next), "no tick twice: {once:?}");
        let mut singles = read(&node.actor::<Quick>("single")).await.entries;
        singles.sort_unstable();
        assert_eq!(singles, (0..SINGLE).collect::<Vec<_>>(), "each timer once");
        assert_eq!(node.dead_letters().count(), 0);
        node.stop().await.unwrap();
    }
}

/// Sets timers that fire from now on, again and again or once; returns when the first tick is due, and those that stay.
async fn set_many(folder: &Path, random: &mut Random) -> (Micros, Vec<TimerId>) {
    let node = workers(folder, &Probe::new()).start().await.unwrap();
    let start = Micros::now().plus(PERIOD);
    let period = PERIOD.as_micros() as u64;
    let tick = || Script::new([Step::Tick { start: start.0, period }, Step::Reach(0)]);
    let every = |missed| Schedule::every(PERIOD).unwrap().starting_at(start).missed(missed).missed_max(u64::MAX);
    let (worker, quick) = (node.actor::<Worker>("all"), node.actor::<Quick>("all"));
    let timers = vec![
        worker.schedule(tick(), every(Missed::All)).await.unwrap(),
        quick.schedule(tick(), every(Missed::All)).await.unwrap(),
        node.actor::<Worker>("once").schedule(tick(), every(Missed::Once)).await.unwrap(),
    ];
    for number in 0..SINGLE {
        let delay = Duration::from_micros(random.below(3_000_000));
        node.actor::<Quick>("single")
            .schedule(Script::new([Step::Append(number)]), Schedule::after(delay))
            .await
            .unwrap();
    }
    node.stop().await.unwrap();
    (start, timers)
}

async fn live_and_die(folder: &Path, random: &mut Random) {
    let mut child = Child::start(&Setup::alone(folder));
    for _ in 0..random.below(TICKS_MAX) {
        let event = child.hear().expect("nobody has killed it yet");
        if let Event::Refused(reason) = event {
            panic!("I7 is broken: the store does not open: {reason}");
        }
    }
    // What it said last came after a commit; the moment of the kill must have nothing to do with that.
    tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
    child.kill();
}
