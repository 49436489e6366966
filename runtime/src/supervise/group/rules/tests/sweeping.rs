//! Every short story, and random long ones: whatever happens, the rules hold, and the group recovers and stops.

use proptest::prelude::*;

use super::model::{Group, SECOND, Step, at_once, when_ready};
use super::{Budget, Restart, Terms};
use crate::supervise::group::strategy::Strategy as GroupStrategy;

const STRATEGIES: [GroupStrategy; 3] = [GroupStrategy::OneForOne, GroupStrategy::OneForAll, GroupStrategy::RestForOne];

#[test]
fn every_story_of_six_steps_keeps_the_rules() {
    use Restart::{Permanent, Temporary, Transient};

    let mut stories = 0;
    for strategy in STRATEGIES {
        for terms in [
            [when_ready(Permanent), at_once(Permanent)],
            [at_once(Permanent), when_ready(Transient)],
            [when_ready(Transient), at_once(Temporary)],
        ] {
            let mut group = Group::new(strategy, Budget::new(1, 60 * SECOND), &terms);
            group.begin();
            stories += tell(&group, 6);
        }
    }
    assert!(stories > 30_000, "only {stories} stories");
}

fn tell(group: &Group, steps: u32) -> u64 {
    if steps == 0 || group.ending.is_some() {
        group.clone().must_recover_and_stop();
        return 1;
    }
    let mut stories = 0;
    for step in group.possible() {
        let mut group = group.clone();
        group.step(step);
        stories += tell(&group, steps - 1);
    }
    stories
}

fn terms() -> impl Strategy<Value = Vec<Terms>> {
    let restart = prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)];
    let ready_within = prop_oneof![Just(None), Just(Some(2 * SECOND))];
    let stop_within = prop_oneof![Just(None), Just(Some(SECOND))];
    let one = (restart, ready_within, stop_within).prop_map(|(restart, ready_within, stop_within)| Terms {
        restart,
        ready_within,
        stop_within,
    });
    prop::collection::vec(one, 0..5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..5).prop_map(Step::Fails),
        4 => (0usize..5).prop_map(Step::IsDone),
        8 => (0usize..5).prop_map(Step::IsReady),
        8 => Just(Step::NoteIsWritten),
        8 => Just(Step::TimePasses),
        4 => Just(Step::TimeIsLost),
        2 => (0usize..5).prop_map(Step::OldNews),
        1 => prop_oneof![Just(Step::NoteFails), Just(Step::Stop), Just(Step::Kill)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn random_stories_keep_the_rules(
        strategy in 0usize..3, terms in terms(), restarts in 0u32..6,
        steps in prop::collection::vec((step(), any::<u32>()), 0..120),
    ) {
        let mut group = Group::new(STRATEGIES[strategy], Budget::new(restarts, 3 * SECOND), &terms);
        group.begin();
        for (step, random) in steps {
            group.random = random;
            group.step(step);
        }
        group.must_recover_and_stop();
    }
}
