//! SIGKILL at random moments: an oracle outside the process judges from what clients saw, and from nothing else.

use std::path::Path;

use everpost_tests::child::Child;
use everpost_tests::load::look;
use everpost_tests::oracle::Oracle;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::seeds::{Random, seeds};

const KILLS: u32 = 8;
/// A child is killed after it has said this much, at most.
const EVENTS_MAX: u64 = 1500;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_acknowledged_is_lost_or_doubled() {
    for seed in seeds("recovery::killed_at_random_moments_nothing_acknowledged_is_lost_or_doubled", 6) {
        let folder = everpost_tests::folder();
        let mut random = seed.random();
        let mut oracle = Oracle::default();
        let mut streams = oracle.killed();
        for _ in 0..KILLS {
            streams = live_and_die(folder.path(), &mut random, &mut oracle, streams);
        }
        let found = look(folder.path()).await;
        oracle.judge(&found).unwrap_or_else(|violation| panic!("seed {}: {violation}", seed.value()));
        let (sent, known) = oracle.counts();
        eprintln!("seed {}: {KILLS} kills, {sent} sent, {known} known to be durable", seed.value());
        assert!(known > 100 && sent > known, "too little happened: {sent} sent, {known} known to be durable");
    }
}

/// One life of the process; returns where the next one begins.
fn live_and_die(folder: &Path, random: &mut Random, oracle: &mut Oracle, streams: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut child = Child::start(&Setup {
        folder: folder.into(),
        attempts_max: 8,
        open: true,
        logs: false,
        seat: None,
        waits: false,
    });
    child.tell(&Command::Load(streams));
    // Some die while they open the store, or replay.
    let events = if random.once_in(4) { random.below(4) } else { random.below(EVENTS_MAX) };
    for _ in 0..events {
        saw(oracle, child.hear().expect("nobody has killed it yet"));
    }
    child.kill();
    let (_, events) = child.end();
    events.into_iter().for_each(|event| saw(oracle, event));
    oracle.killed()
}

fn saw(oracle: &mut Oracle, event: Event) {
    match event {
        Event::Client(client) => oracle.saw(&client),
        Event::Refused(reason) => panic!("I7 is broken: the store does not open: {reason}"),
        Event::Broken(what) => panic!("a client saw what must not be: {what}"),
        _ => {}
    }
}
