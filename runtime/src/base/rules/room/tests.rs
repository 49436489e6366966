//! The queue against an oracle: a plain list of those who wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

const MESSAGES_MAX: usize = 4;
const BYTES_MAX: usize = 100;

#[derive(Clone, Debug)]
enum Step {
    /// A sender comes: goes in if it may, and otherwise waits.
    Come { bytes: usize },
    /// Comes, and has to wait for something else before it goes in.
    ComeAndKeep { bytes: usize },
    /// One that waits in the queue goes in, if it was given room.
    GoIn { pick: usize },
    /// One that waits in the queue does not wait any longer, or does not use what it was given.
    GiveUp { pick: usize },
    /// A message leaves.
    Leave { pick: usize },
    /// A turn sends, which no bound holds back.
    Turn { bytes: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..60).prop_map(|bytes| Step::Come { bytes }),
        1 => (0_usize..60).prop_map(|bytes| Step::ComeAndKeep { bytes }),
        4 => any::<usize>().prop_map(|pick| Step::GoIn { pick }),
        2 => any::<usize>().prop_map(|pick| Step::GiveUp { pick }),
        4 => any::<usize>().prop_map(|pick| Step::Leave { pick }),
        1 => (0_usize..60).prop_map(|bytes| Step::Turn { bytes }),
    ];
    prop::collection::vec(step, 1..200)
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Oracle {
    /// Bytes of the messages that are in.
    inside: Vec<usize>,
    /// Who waits in the queue, in the order in which they came: bytes, whether they have room, and their bells.
    queue: BTreeMap<u64, (usize, bool, Arc<Bell>)>,
}

impl Oracle {
    fn room(&self) -> Room {
        let used = Amount { messages: self.inside.len(), bytes: self.inside.iter().sum() };
        Room { used, max: Amount { messages: MESSAGES_MAX, bytes: BYTES_MAX } }
    }

    fn has_room(&self) -> bool {
        let given: Vec<usize> = self.queue.values().filter(|(_, given, _)| *given).map(|(bytes, ..)| *bytes).collect();
        let Room { used, .. } = self.room();
        used.messages + given.len() < MESSAGES_MAX && used.bytes + given.iter().sum::<usize>() < BYTES_MAX
    }

    /// The first of those who wait are given room.
    fn give(&mut self) {
        while self.has_room()
            && let Some((_, given, _)) = self.queue.values_mut().find(|(_, given, _)| !*given)
        {
            *given = true;
        }
    }

    fn pick(&self, pick: usize) -> Option<u64> {
        let numbers: Vec<u64> = self.queue.keys().copied().collect();
        (!numbers.is_empty()).then(|| numbers[pick % numbers.len()])
    }
}

fn check(steps: Vec<Step>) {
    let (mut queue, mut oracle) = (SenderQueue::default(), Oracle::default());
    for step in steps {
        match step {
            Step::Come { bytes } => {
                let may_enter = oracle.has_room() && oracle.queue.values().all(|(_, given, _)| *given);
                assert_eq!(queue.admits(oracle.room()), may_enter, "nobody who comes passes those who wait");
                if may_enter {
                    oracle.inside.push(bytes);
                } else {
                    let (number, bell) = (queue.join(bytes), Arc::new(Bell::default()));
                    queue.give(oracle.room());
                    let waker = Waker::from(Arc::clone(&bell));
                    let given = queue.poll(number, &Context::from_waker(&waker)).is_ready();
                    assert!(!given, "it was not admitted");
                    oracle.queue.insert(number, (bytes, false, bell));
                }
            }
            Step::ComeAndKeep { bytes } => {
                if queue.admits(oracle.room()) {
                    oracle.queue.insert(queue.keep(bytes), (bytes, true, Arc::default()));
                }
            }
            Step::GoIn { pick } => {
                if let Some(number) = oracle.pick(pick).filter(|number| oracle.queue[number].1) {
                    let (bytes, ..) = oracle.queue.remove(&number).expect("it was picked");
                    queue.leave(number);
                    oracle.inside.push(bytes);
                }
            }
            Step::GiveUp { pick } => {
                if let Some(number) = oracle.pick(pick) {
                    oracle.queue.remove(&number);
                    queue.leave(number);
                }
            }
            Step::Leave { pick } => {
                if !oracle.inside.is_empty() {
                    oracle.inside.swap_remove(pick % oracle.inside.len());
                }
            }
            Step::Turn { bytes } => oracle.inside.push(bytes),
        }
        queue.give(oracle.room());
        oracle.give();
        for (number, (_, given, bell)) in &oracle.queue {
            assert_eq!(queue.has_given(*number), *given);
            let waker = Waker::from(Arc::clone(bell));
            assert_eq!(queue.poll(*number, &Context::from_waker(&waker)).is_ready(), *given);
        }
        assert_eq!(queue.is_empty(), oracle.queue.is_empty(), "it takes no memory while nobody stands in it");
    }
    let waiting: Vec<_> = oracle.queue.values().filter(|(_, given, _)| !*given).map(|(.., bell)| bell).collect();
    queue.dismiss();
    assert!(waiting.iter().all(|bell| bell.0.load(Ordering::Relaxed) == 1), "each is told, once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn room_goes_to_those_who_wait_in_the_order_in_which_they_came_whoever_gives_up(steps in steps()) {
        check(steps);
    }
}
