//! The rules against an oracle: a plain list of messages with their attempts.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Enqueue { keep: bool },
    Durable,
    Handle,
    Fail { delay: u64 },
    Interrupt,
    Pass { micros: u64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|keep| Step::Enqueue { keep }),
        2 => Just(Step::Durable),
        4 => Just(Step::Handle),
        2 => (0u64..50).prop_map(|delay| Step::Fail { delay }),
        1 => Just(Step::Interrupt),
        2 => (0u64..50).prop_map(|micros| Step::Pass { micros }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..200)
}

/// What a mailbox promises, in the plainest form: first in, first out; nothing before it may be seen; a failed head
/// waits, and everything behind it with it.
#[derive(Default)]
struct Oracle {
    waiting: VecDeque<(u64, u32, u64)>,
    accepted: u64,
    durable: u64,
    now: u64,
}

impl Oracle {
    fn deliverable(&self, early: bool) -> Option<(u64, u32)> {
        let (position, attempts, not_before) = *self.waiting.front()?;
        ((early || position <= self.durable) && not_before <= self.now).then_some((position, attempts + 1))
    }
}

/// Takes the next message as an activation does: loads what must be loaded. A body is its position.
fn take(rules: &mut Rules<u64>, oracle: &Oracle, early: bool) -> Next<u64> {
    loop {
        match rules.next(|| Micros(oracle.now), Position(oracle.durable), early) {
            Next::Load(positions) => {
                assert!(positions.iter().all(|position| position.0 <= oracle.durable), "loaded before it was durable");
                rules.loaded(positions.iter().map(|position| position.0));
            }
            next => return next,
        }
    }
}

fn check(steps: Vec<Step>, early: bool) {
    let mut rules = Rules::<u64>::new();
    let mut oracle = Oracle::default();
    for step in steps {
        match step {
            Step::Enqueue { keep } => {
                oracle.accepted += 1;
                oracle.waiting.push_back((oracle.accepted, 0, 0));
                rules.enqueued(Position(oracle.accepted), oracle.accepted, keep);
            }
            Step::Durable => oracle.durable = oracle.accepted,
            Step::Pass { micros } => oracle.now += micros,
            Step::Restart => restart(&mut rules, &mut oracle),
            Step::Handle | Step::Fail { .. } | Step::Interrupt => one_turn(&mut rules, &mut oracle, &step, early),
        }
        assert_eq!(rules.len(), oracle.waiting.len());
        assert_eq!(rules.is_empty(), oracle.waiting.is_empty());
    }
}

fn one_turn(rules: &mut Rules<u64>, oracle: &mut Oracle, step: &Step, early: bool) {
    let next = take(rules, oracle, early);
    let Next::Deliver { position, body, attempt } = next else {
        // A body beyond the window is seen only once it is durable, so early delivery may still hold it back.
        let held_back = matches!(next, Next::Durable(position) if position.0 > oracle.durable);
        assert!(oracle.deliverable(early).is_none() || (early && held_back), "{next:?} though a message is due");
        return;
    };
    assert_eq!(oracle.deliverable(early), Some((position.0, attempt)));
    assert_eq!(body, position.0, "the body of another message");
    assert_eq!(rules.in_hand(), Some((position, &body)));
    match step {
        Step::Handle => {
            let recorded = oracle.waiting.pop_front().unwrap().1 > 0;
            assert_eq!(rules.finished(), (position, body, recorded));
        }
        Step::Fail { delay } => {
            let not_before = oracle.now + delay;
            let failures = rules.failed("failed".into(), 3);
            failures.not_before = Micros(not_before);
            let failures = failures.clone();
            rules.interrupted();
            let head = oracle.waiting.front_mut().unwrap();
            *head = (head.0, head.1 + 1, not_before);
            assert_eq!(failures.attempts, head.1);
            assert_eq!(failures.errors.len(), head.1.min(3) as usize);
        }
        _ => rules.interrupted(),
    }
}

/// The process dies: what was durable is found again, with its failures.
fn restart(rules: &mut Rules<u64>, oracle: &mut Oracle) {
    oracle.waiting.retain(|(position, ..)| *position <= oracle.durable);
    oracle.accepted = oracle.durable;
    *rules = Rules::new();
    for &(position, attempts, not_before) in &oracle.waiting {
        let errors = vec!["failed".to_owned(); attempts.min(3) as usize];
        let failures = Failures { attempts, not_before: Micros(not_before), errors, alone: false };
        rules.recovered(Position(position), (attempts > 0).then_some(failures));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn committed_delivery_matches_the_oracle(steps in steps()) {
        check(steps, false);
    }

    #[test]
    fn pipelined_delivery_matches_the_oracle(steps in steps()) {
        check(steps, true);
    }
}

#[test]
fn a_window_is_bounded_and_what_is_beyond_it_costs_a_position() {
    let mut rules = Rules::<u64>::new();
    for position in 1..=100_000 {
        let kept = rules.enqueued(Position(position), position, true);
        assert_eq!(kept, position <= WINDOW_MESSAGES as u64);
    }
    assert_eq!(rules.window.len(), WINDOW_MESSAGES);
    assert!(rules.beyond.capacity() * size_of::<Position>() <= 32 * 100_000);
}

#[test]
fn an_ordinary_failure_clears_a_suspect_and_keeps_its_attempts() {
    let mut rules = Rules::<u64>::new();
    rules.enqueued(Position(1), 1, true);
    rules.single_out(Position(1), Failures { attempts: 2, ..Failures::default() });
    assert!(rules.is_suspect(Position(1)));
    assert!(matches!(rules.next(|| Micros(0), Position(1), false), Next::Deliver { attempt: 3, .. }));
    assert_eq!(rules.failed("error".into(), 3).attempts, 3);
    assert!(!rules.is_suspect(Position(1)));
}

#[test]
fn a_discarded_message_is_gone() {
    let mut rules = Rules::<u64>::new();
    rules.recovered(Position(1), None);
    rules.recovered(Position(2), Some(Failures { alone: true, ..Failures::default() }));
    assert_eq!(rules.discard(Position(2)), None);
    assert_eq!((rules.len(), rules.contains(Position(2)), rules.is_suspect(Position(2))), (1, false, false));
}

#[test]
fn an_acquitted_message_keeps_its_attempts_and_a_handled_one_is_not_known_any_more() {
    let mut rules = Rules::<u64>::new();
    rules.enqueued(Position(1), 1, true);
    rules.single_out(Position(1), Failures { attempts: 2, ..Failures::default() });
    let acquitted = rules.acquit(Position(1)).cloned();
    assert_eq!(acquitted, Some(Failures { attempts: 2, ..Failures::default() }));
    assert!(!rules.is_suspect(Position(1)));
    assert!(matches!(rules.next(|| Micros(0), Position(1), false), Next::Deliver { attempt: 3, .. }));
    assert_eq!(rules.finished(), (Position(1), 1, true), "its record goes with it");
    assert_eq!(rules.acquit(Position(1)), None);
}
