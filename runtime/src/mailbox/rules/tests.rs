//! The rules against an oracle: a plain list of messages, and for each whether it may be next.

use proptest::prelude::*;

use super::*;

const HOLDS_MAX: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Enqueue { keep: bool, queue: Queue },
    Durable,
    Handle,
    Fail { delay: u64 },
    Defer { delay: u64 },
    Hold { deadline: u64 },
    Acknowledge { pick: usize },
    GiveBack { pick: usize, delay: u64 },
    Interrupt,
    Expire { every: u64, rest: u64 },
    LeaveToTheStore,
    Pass { micros: u64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queue = prop::sample::select(Queue::all().collect::<Vec<_>>());
    let step = prop_oneof![
        6 => (any::<bool>(), queue).prop_map(|(keep, queue)| Step::Enqueue { keep, queue }),
        2 => Just(Step::Durable),
        4 => Just(Step::Handle),
        2 => (0u64..50).prop_map(|delay| Step::Fail { delay }),
        1 => (0u64..50).prop_map(|delay| Step::Defer { delay }),
        1 => (1u64..100).prop_map(|deadline| Step::Hold { deadline }),
        1 => any::<usize>().prop_map(|pick| Step::Acknowledge { pick }),
        1 => (any::<usize>(), 0u64..50).prop_map(|(pick, delay)| Step::GiveBack { pick, delay }),
        1 => Just(Step::Interrupt),
        1 => (1u64..5, 0u64..5).prop_map(|(every, rest)| Step::Expire { every, rest }),
        1 => Just(Step::LeaveToTheStore),
        2 => (0u64..50).prop_map(|micros| Step::Pass { micros }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..200)
}

/// The same without anything that changes the order.
fn plain_steps() -> impl Strategy<Value = Vec<Step>> {
    let plain = |step| match step {
        Step::Enqueue { keep, .. } => Step::Enqueue { keep, queue: Queue::default() },
        Step::Defer { delay } => Step::Fail { delay },
        Step::Hold { .. } => Step::Handle,
        step => step,
    };
    steps().prop_map(move |steps| steps.into_iter().map(plain).collect())
}

#[derive(Clone, Debug)]
struct Message {
    position: u64,
    queue: Queue,
    failures: Failures,
    /// Until when it is held.
    held: Option<u64>,
}

/// What a mailbox promises, in the plainest form.
#[derive(Default)]
struct Oracle {
    waiting: Vec<Message>,
    accepted: u64,
    durable: u64,
    now: u64,
}

impl Oracle {
    fn is_visible(&self, message: &Message, early: bool) -> bool {
        early || message.position <= self.durable
    }

    fn is_due(&self, message: &Message) -> bool {
        message.failures.not_before <= Steady(self.now)
    }

    /// Whether it is held when it is delivered, and no more may be.
    fn waits_for_a_hold(&self, message: &Message) -> bool {
        message.queue.is_for_holds && self.held() >= HOLDS_MAX
    }

    /// The first of a priority that waits in its queue, and not for a hold.
    fn head(&self, priority: Priority) -> Option<&Message> {
        let is_queued = |message: &&Message| !message.failures.aside && message.held.is_none();
        let mut queued = self.waiting.iter().filter(is_queued);
        queued.find(|message| message.queue.priority == priority && !self.waits_for_a_hold(message))
    }

    /// Whether this message may be next: due aside, or the head of a priority above which nobody backs off.
    fn may_be_next(&self, message: &Message, early: bool) -> bool {
        if message.held.is_some() || !self.is_due(message) || self.waits_for_a_hold(message) {
            return false;
        }
        if message.failures.aside {
            return true;
        }
        let priority = message.queue.priority;
        let is_head = self.head(priority).is_some_and(|head| head.position == message.position);
        let mut above = Priority::DESCENDING.into_iter().filter(|above| *above > priority);
        let backs_off =
            |priority| self.head(priority).is_some_and(|head| self.is_visible(head, early) && !self.is_due(head));
        is_head && self.is_visible(message, early) && !above.any(backs_off)
    }

    fn held(&self) -> usize {
        self.waiting.iter().filter(|message| message.held.is_some()).count()
    }

    fn at(&mut self, position: Position) -> &mut Message {
        self.waiting.iter_mut().find(|message| message.position == position.0).expect("it waits")
    }

    fn remove(&mut self, position: Position) -> Message {
        let index = self.waiting.iter().position(|message| message.position == position.0);
        self.waiting.remove(index.expect("it waits"))
    }
}

/// Takes the next message as an activation does: loads what must be loaded, and sets aside what is overdue. A body is
/// its position.
fn take(rules: &mut Rules<u64>, oracle: &mut Oracle, early: bool) -> Next<u64> {
    loop {
        match rules.next(|| Steady(oracle.now), Position(oracle.durable), early) {
            Next::Load(positions) => {
                assert!(positions.iter().all(|position| position.0 <= oracle.durable), "loaded before it was durable");
                rules.loaded(positions.iter().map(|position| (*position, position.0)), |_| ());
            }
            Next::Overdue(position) => {
                let held = oracle.at(position).held.take();
                assert!(held.is_some_and(|deadline| deadline <= oracle.now), "taken back too early");
                assert_eq!(rules.take_back(position, None), Some(position.0));
                give_back(rules, oracle, position, oracle.now);
            }
            next => return next,
        }
    }
}

/// A held message that was taken back has failed, and waits aside.
fn give_back(rules: &mut Rules<u64>, oracle: &mut Oracle, position: Position, until: u64) {
    rules.failed(position, "failed".into(), 3);
    rules.set_aside(position, Steady(until));
    let message = oracle.at(position);
    message.failures.count("failed".into(), 3);
    message.failures.not_before = Steady(until);
    message.failures.aside = true;
    message.held = None;
}

fn check(steps: Vec<Step>, early: bool) {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    let mut oracle = Oracle::default();
    for step in steps {
        match step {
            Step::Enqueue { keep, queue } => {
                oracle.accepted += 1;
                let position = oracle.accepted;
                oracle.waiting.push(Message { position, queue, failures: Failures::default(), held: None });
                rules.enqueued(Position(position), queue, position, keep);
            }
            Step::Durable => oracle.durable = oracle.accepted,
            Step::Pass { micros } => oracle.now += micros,
            Step::LeaveToTheStore => leave_to_the_store(&mut rules, &oracle),
            Step::Restart => restart(&mut rules, &mut oracle),
            Step::Expire { every, rest } => expire(&mut rules, &mut oracle, |position| position % every == rest),
            Step::Acknowledge { pick } | Step::GiveBack { pick, .. } => decide(&mut rules, &mut oracle, &step, pick),
            _ => one_turn(&mut rules, &mut oracle, &step, early),
        }
        assert_eq!(rules.len(), oracle.waiting.len());
        assert_eq!(rules.is_empty(), oracle.waiting.is_empty());
        for message in &oracle.waiting {
            assert!(rules.contains(Position(message.position)));
            assert_eq!(rules.is_held(Position(message.position)), message.held.is_some());
        }
    }
}

/// Whatever is on the disk leaves memory, but not what is in flight or held.
fn leave_to_the_store(rules: &mut Rules<u64>, oracle: &Oracle) {
    let bodies = |rules: &Rules<u64>| rules.all().filter(|(_, body)| body.is_some()).count();
    let (before, in_flight) = (bodies(rules), rules.in_flight().map(|(position, _)| position));
    let mut left = 0;
    rules.leave_to_the_store(Position(oracle.durable), |body| {
        assert!(*body <= oracle.durable, "it is nowhere else");
        assert!(in_flight != Some(Position(*body)) && !rules_hold(oracle, *body), "it is in use");
        left += 1;
    });
    assert_eq!(bodies(rules), before - left);
    assert_eq!(rules.in_flight().map(|(position, _)| position), in_flight);
}

fn rules_hold(oracle: &Oracle, position: u64) -> bool {
    oracle.waiting.iter().any(|message| message.position == position && message.held.is_some())
}

/// Some messages leave, wherever they are.
fn expire(rules: &mut Rules<u64>, oracle: &mut Oracle, is_expired: impl Fn(u64) -> bool) {
    let (expired, left) = oracle.waiting.drain(..).partition(|message| is_expired(message.position));
    oracle.waiting = left;
    let expired: Vec<Message> = expired;
    let positions: Vec<_> = expired.iter().map(|message| Position(message.position)).collect();
    let mut gone = Vec::new();
    rules.discard_all(&positions, |position, body, recorded| {
        assert!(body.is_none_or(|body| body == position.0), "the body of another");
        gone.push((position.0, recorded));
    });
    gone.sort_unstable();
    let recorded = |message: &Message| (message.position, message.failures != Failures::default());
    assert_eq!(gone, expired.iter().map(recorded).collect::<Vec<_>>());
    assert!(positions.iter().all(|position| !rules.contains(*position) && rules.failures(*position).is_none()));
}

/// A holder decides.
fn decide(rules: &mut Rules<u64>, oracle: &mut Oracle, step: &Step, pick: usize) {
    let held: Vec<_> = oracle.waiting.iter().filter(|message| message.held.is_some()).cloned().collect();
    if held.is_empty() {
        return;
    }
    let Message { position, failures, .. } = &held[pick % held.len()];
    let (position, attempt) = (Position(*position), failures.attempts + 1);
    assert_eq!(rules.held(position, attempt), Some(&position.0));
    assert_eq!(rules.held(position, attempt + 1), None, "another delivery decides nothing");
    match step {
        Step::GiveBack { delay, .. } => {
            assert_eq!(rules.take_back(position, Some(attempt)), Some(position.0));
            assert_eq!(rules.take_back(position, Some(attempt)), None, "decided once");
            give_back(rules, oracle, position, oracle.now + delay);
        }
        _ => {
            assert_eq!(rules.discard(position), Some(position.0));
            oracle.remove(position);
        }
    }
}

fn one_turn(rules: &mut Rules<u64>, oracle: &mut Oracle, step: &Step, early: bool) {
    let next = take(rules, oracle, early);
    let Next::Deliver { position, body, attempt } = next else {
        let due: Vec<_> = oracle.waiting.iter().filter(|message| oracle.may_be_next(message, early)).collect();
        // A body beyond the window is seen only once it is durable, so early delivery may still hold it back.
        let held_back = early && matches!(next, Next::Durable(position) if position.0 > oracle.durable);
        assert!(due.is_empty() || held_back, "{next:?} though {due:?} is due");
        if let Next::Until(moment) = next {
            assert!(moment > Steady(oracle.now), "woken at once, for nothing");
        }
        return;
    };
    let message = oracle.at(position).clone();
    assert!(oracle.may_be_next(&message, early), "{message:?} was delivered");
    assert!(rules.is_reordered() || position.0 == oracle.waiting[0].position, "{message:?} is not the first");
    assert!(!rules.backs_off(|| Steady(oracle.now)) || message.failures.aside, "{message:?} passed what backs off");
    assert_eq!((body, attempt), (position.0, message.failures.attempts + 1));
    assert_eq!(rules.in_flight(), Some((position, &body)));
    if matches!(step, Step::Fail { .. } | Step::Interrupt) {
        leave_to_the_store(rules, oracle);
    }
    match step {
        Step::Fail { delay } => {
            let until = Steady(oracle.now + delay);
            rules.failed(position, "failed".into(), 3);
            let message = oracle.at(position);
            message.failures.count("failed".into(), 3);
            message.failures.not_before = until;
            assert_eq!(rules.has_left_its_queue(position), message.failures.aside);
            rules.postpone(position, until);
            assert_eq!(rules.failures(position), Some(&message.failures));
        }
        Step::Defer { delay } => {
            let until = Steady(oracle.now + delay);
            rules.set_aside(position, until);
            let message = oracle.at(position);
            message.failures.not_before = until;
            message.failures.aside = true;
        }
        Step::Hold { deadline } if message.queue.is_for_holds => {
            rules.hold(Steady(oracle.now + deadline));
            let deadline = oracle.now + deadline;
            let message = oracle.at(position);
            message.held = Some(deadline);
        }
        Step::Handle | Step::Hold { .. } => {
            let Message { failures, .. } = oracle.remove(position);
            let recorded = failures != Failures::default();
            assert_eq!(rules.finished(), Finished { position, body, recorded });
        }
        _ => rules.interrupted(),
    }
}

/// The process dies: what was durable is found again, with its failures; nobody holds anything.
fn restart(rules: &mut Rules<u64>, oracle: &mut Oracle) {
    oracle.waiting.retain(|message| message.position <= oracle.durable);
    oracle.accepted = oracle.durable;
    *rules = Rules::new(HOLDS_MAX);
    for message in &mut oracle.waiting {
        message.held = None;
        let failures = Some(message.failures.clone()).filter(|failures| *failures != Failures::default());
        rules.recovered(Position(message.position), message.queue, failures);
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

    #[test]
    fn plain_delivery_matches_the_oracle(steps in plain_steps(), early: bool) {
        check(steps, early);
    }
}

#[test]
fn a_mailbox_backs_off_when_what_would_be_next_does() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    let at = |rules: &Rules<u64>, now| rules.backs_off(|| Steady(now));
    assert!(!at(&rules, 0), "it is empty");
    for position in 1..=2 {
        rules.enqueued(Position(position), Queue::default(), position, true);
    }
    let early = true;
    assert!(matches!(rules.next(|| Steady(0), Position(0), early), Next::Deliver { position: Position(1), .. }));
    rules.failed(Position(1), "failed".into(), 3);
    rules.postpone(Position(1), Steady(10));
    assert!(at(&rules, 9) && !at(&rules, 10));
    rules.enqueued(Position(3), Queue::for_turns(Priority::High), 3, true);
    assert!(!at(&rules, 9), "it is more urgent");
    assert!(rules.discard(Position(3)).is_some() && at(&rules, 9));
    assert!(rules.discard(Position(1)).is_some() && !at(&rules, 9), "nothing has failed");
}

#[test]
fn a_window_is_bounded_and_what_is_beyond_it_costs_a_position() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    for position in 1..=100_000 {
        let kept = rules.enqueued(Position(position), Queue::default(), position, true);
        assert_eq!(kept, position <= WINDOW_MESSAGES as u64);
    }
    assert_eq!(rules.normal.window.len(), WINDOW_MESSAGES);
    assert!(rules.normal.beyond.capacity() * size_of::<Position>() <= 32 * 100_000);
}

#[test]
fn a_flood_of_urgent_messages_lets_each_lower_priority_through() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    let mut position = 0;
    let mut enqueue = |rules: &mut Rules<u64>, priority| {
        position += 1;
        rules.enqueued(Position(position), Queue::for_turns(priority), position, true);
        position
    };
    let low = enqueue(&mut rules, Priority::Low);
    let normal = enqueue(&mut rules, Priority::Normal);
    let high = enqueue(&mut rules, Priority::High);
    let mut waiting = vec![low, normal, high];
    for round in 0..1000 {
        enqueue(&mut rules, Priority::Urgent);
        let Next::Deliver { body, .. } = rules.next(|| Steady(0), Position(u64::MAX), false) else { panic!() };
        rules.finished();
        waiting.retain(|lower| *lower != body);
        if waiting.is_empty() {
            assert!(round > 64, "urgent ones go first");
            return;
        }
    }
    panic!("{waiting:?} starved");
}

#[test]
fn a_message_that_is_always_deferred_does_not_keep_others_from_their_turn() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    rules.enqueued(Position(1), Queue::default(), 1, true);
    rules.enqueued(Position(2), Queue::default(), 2, true);
    rules.enqueued(Position(3), Queue::default(), 3, true);
    let mut delivered = Vec::new();
    for _ in 0..6 {
        let Next::Deliver { position, body, .. } = rules.next(|| Steady(0), Position(9), false) else { panic!() };
        delivered.push(body);
        if body == 1 {
            rules.set_aside(position, Steady(0));
        } else {
            rules.finished();
        }
    }
    assert_eq!(delivered, [1, 1, 2, 1, 3, 1]);
}

#[test]
fn as_many_messages_are_held_as_may_be() {
    let mut rules = Rules::<u64>::new(2);
    for position in 1..=3 {
        rules.enqueued(Position(position), Queue::for_holds(Priority::Normal), position, true);
    }
    for deadline in [70, 50] {
        assert!(matches!(rules.next(|| Steady(0), Position(9), false), Next::Deliver { .. }));
        rules.hold(Steady(deadline));
    }
    assert!(rules.holds_are_full());
    assert_eq!(rules.next(|| Steady(0), Position(9), false), Next::Until(Steady(50)));
    assert!(rules.extend_hold(Position(2), 1, Steady(90)));
    assert!(!rules.extend_hold(Position(2), 2, Steady(90)));
    assert_eq!(rules.next(|| Steady(0), Position(9), false), Next::Until(Steady(70)));
    assert_eq!(rules.next(|| Steady(70), Position(9), false), Next::Overdue(Position(1)));
    assert_eq!(rules.discard(Position(2)), Some(2));
    assert_eq!(
        rules.next(|| Steady(0), Position(9), false),
        Next::Deliver { position: Position(3), body: 3, attempt: 1 }
    );
}

#[test]
fn with_as_many_held_as_may_be_the_others_pass_those_that_would_be() {
    let mut rules = Rules::<u64>::new(1);
    let queues = [
        Queue::for_holds(Priority::Normal),
        Queue::for_holds(Priority::Urgent),
        Queue::default(),
        Queue::for_holds(Priority::Normal),
        Queue::for_turns(Priority::Low),
        Queue::default(),
    ];
    let next = |rules: &mut Rules<u64>| match rules.next(|| Steady(0), Position(9), false) {
        Next::Deliver { body, .. } => Some(body),
        Next::Until(Steady(50)) => None,
        next => panic!("{next:?}"),
    };
    for (position, queue) in (1..).zip(queues) {
        rules.enqueued(Position(position), queue, position, true);
    }
    assert_eq!(next(&mut rules), Some(2));
    rules.hold(Steady(50));
    for passing in [3, 6, 5] {
        assert_eq!(next(&mut rules), Some(passing));
        rules.finished();
    }
    assert_eq!(next(&mut rules), None, "what would be held waits for the holder");
    assert!(rules.is_held_back(Position(1), Steady(0)));
    assert_eq!(rules.discard(Position(2)), Some(2));
    assert!(!rules.is_held_back(Position(1), Steady(0)));
    assert_eq!(next(&mut rules), Some(1));
    rules.set_aside(Position(1), Steady(0));
    assert_eq!(next(&mut rules), Some(1), "what came back is due");
    rules.set_aside(Position(1), Steady(0));
    assert_eq!(next(&mut rules), Some(4), "what came back and the queue alternate");
    rules.hold(Steady(50));
    assert_eq!(next(&mut rules), None, "what came back would be held, too");
}

#[test]
fn an_ordinary_failure_clears_a_suspect_and_keeps_its_attempts() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    rules.enqueued(Position(1), Queue::default(), 1, true);
    rules.single_out(Position(1), Failures { attempts: 2, ..Failures::default() });
    assert!(rules.is_suspect(Position(1)));
    assert!(matches!(rules.next(|| Steady(0), Position(1), false), Next::Deliver { attempt: 3, .. }));
    assert_eq!(rules.failed(Position(1), "error".into(), 3).attempts, 3);
    assert!(!rules.is_suspect(Position(1)));
}

#[test]
fn a_discarded_message_is_gone() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    rules.recovered(Position(1), Queue::default(), None);
    rules.recovered(Position(2), Queue::default(), Some(Failures { alone: true, ..Failures::default() }));
    assert_eq!(rules.discard(Position(2)), None);
    assert_eq!((rules.len(), rules.contains(Position(2)), rules.is_suspect(Position(2))), (1, false, false));
}

#[test]
fn what_is_more_urgent_passes_a_suspect_that_backs_off_and_what_is_less_urgent_is_held_back_with_it() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    let priorities = [Priority::Normal, Priority::High, Priority::Low];
    for (position, priority) in (1..).zip(priorities) {
        let failures = Failures { attempts: 1, not_before: Steady(50), ..Failures::default() };
        rules.recovered(Position(position), Queue::for_turns(priority), (position == 1).then_some(failures));
    }
    let held_back = |rules: &Rules<u64>, now| [1, 2, 3].map(|at| rules.is_held_back(Position(at), Steady(now)));
    assert_eq!(held_back(&rules, 10), [true, false, true]);
    assert_eq!(held_back(&rules, 50), [false, false, false]);
}

#[test]
fn a_message_that_is_cleared_keeps_its_attempts_and_a_handled_one_is_not_known_any_more() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    rules.enqueued(Position(1), Queue::default(), 1, true);
    rules.single_out(Position(1), Failures { attempts: 2, ..Failures::default() });
    let cleared = rules.clear_suspect(Position(1)).cloned();
    assert_eq!(cleared, Some(Failures { attempts: 2, ..Failures::default() }));
    assert!(!rules.is_suspect(Position(1)));
    assert!(matches!(rules.next(|| Steady(0), Position(1), false), Next::Deliver { attempt: 3, .. }));
    assert_eq!(
        rules.finished(),
        Finished { position: Position(1), body: 1, recorded: true },
        "its record goes with it"
    );
    assert_eq!(rules.clear_suspect(Position(1)), None);
}

#[test]
fn what_is_set_aside_without_a_moment_waits_for_its_release_and_others_pass() {
    let mut rules = Rules::new(HOLDS_MAX);
    for position in 1..=2 {
        rules.enqueued(Position(position), Queue::default(), position, true);
    }
    let next = |rules: &mut Rules<u64>, now| rules.next(|| Steady(now), Position(9), false);
    let deliver = |body| Next::Deliver { position: Position(body), body, attempt: 1 };
    assert_eq!(next(&mut rules, 1), deliver(1));
    rules.set_aside(Position(1), NEVER);
    assert_eq!(next(&mut rules, 2), deliver(2));
    rules.finished();
    assert_eq!(next(&mut rules, u64::MAX - 1), Next::Empty, "no moment is waited for");
    assert!(rules.contains(Position(1)) && !rules.is_empty());
    rules.release(Position(1));
    rules.release(Position(1));
    assert_eq!(next(&mut rules, 3), deliver(1));
    rules.set_aside(Position(1), NEVER);
    assert_eq!(rules.discard(Position(1)), Some(1), "it may leave meanwhile");
    rules.release(Position(1));
    assert!(rules.is_empty());
}

/// Its bodies were read again at once, and left again with the next sweep.
#[test]
fn a_queue_that_backs_off_stays_out_of_memory_until_it_is_due() {
    let mut rules = Rules::<u64>::new(HOLDS_MAX);
    for position in 1..=3 {
        rules.enqueued(Position(position), Queue::default(), position, true);
    }
    assert!(matches!(rules.next(|| Steady(0), Position(3), false), Next::Deliver { .. }));
    rules.failed(Position(1), "failed".into(), 3);
    rules.postpone(Position(1), Steady(50));
    rules.leave_to_the_store(Position(3), |_| {});
    assert!(matches!(rules.next(|| Steady(49), Position(3), false), Next::Until(Steady(50))));
    let all = [1, 2, 3].map(Position);
    assert!(matches!(rules.next(|| Steady(50), Position(3), false), Next::Load(read) if read == all));
}
