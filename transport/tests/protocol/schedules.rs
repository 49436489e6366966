//! Many schedules, and whether the oracle would notice.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bugs::Bug;
use super::seeds::{is_single, reproduce, seeds};
use super::world::World;

const SCHEDULES: u64 = 5_000;
/// In so many schedules each planted bug is found.
const BUG_SCHEDULES: u64 = 12_000;

/// Everything that must have happened, over all schedules together.
const FAULTS: [&str; 22] = [
    "connection cut",
    "node crashed",
    "sender wiped",
    "receiver wiped",
    "old copy came back",
    "old copy opened several times",
    "two clones at once",
    "connection superseded",
    "receiver type not there",
    "acknowledgement repeated",
    "frame dropped, repeated or overtaken",
    "message known already",
    "message too large for the peer",
    "bodies read from the store",
    "message withdrawn",
    "expired message may have arrived",
    "Break",
    "OldRun",
    "Clone",
    "Overlap",
    "OtherNode",
    "Rewound",
];

struct Outcome {
    judgement: Result<(), String>,
    counts: BTreeMap<&'static str, u64>,
    trace: String,
}

fn run(seed: u64, bug: Option<Bug>, is_traced: bool) -> Outcome {
    let mut world = World::new(seed, bug, is_traced);
    let steps = world.plan.steps;
    let judgement = (0..steps).try_for_each(|_| world.step()).and_then(|()| world.heal());
    Outcome { judgement, counts: world.counts, trace: world.trace.unwrap_or_default() }
}

#[test]
fn nothing_is_lost_repeated_or_reordered_in_any_schedule() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds(SCHEDULES) {
        let outcome = run(seed, None, is_single());
        if let Err(violation) = outcome.judgement {
            let trace = run(seed, None, true).trace;
            let tail: Vec<&str> = trace.lines().rev().take(100).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            let test = "schedules::nothing_is_lost_repeated_or_reordered_in_any_schedule";
            panic!("{tail}\nseed {seed}: {violation}\n{}", reproduce(test, seed));
        }
        if is_single() {
            eprintln!("{}", outcome.trace);
        }
        for (what, count) in outcome.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    eprintln!("{counts:#?}");
    if !is_single() {
        let never: Vec<_> = FAULTS.iter().filter(|fault| !counts.contains_key(*fault)).collect();
        assert!(never.is_empty(), "these never happened: {never:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    for seed in 0..50 {
        let (first, second) = (run(seed, None, true), run(seed, None, true));
        assert!(first.trace.lines().count() > 20, "something has happened");
        assert_eq!(first.trace, second.trace, "I11 determinism: seed {seed}");
    }
    assert_ne!(run(0, None, true).trace, run(1, None, true).trace);
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        // A machine that refuses to go on with an assertion has found the bug too.
        let is_found = |seed| {
            catch_unwind(AssertUnwindSafe(|| run(seed, Some(bug), false).judgement))
                .map_or_else(|_| Some("an assertion".to_owned()), Result::err)
        };
        let found = (0..BUG_SCHEDULES).find_map(|seed| Some((seed, is_found(seed)?)));
        let Some((seed, violation)) = found else { panic!("{bug:?} is not found in {BUG_SCHEDULES} schedules") };
        eprintln!("{bug:?}: seed {seed}: {violation}");
    }
}
