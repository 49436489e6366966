//! The index in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::message::MessageId;

fn timer(name: u128) -> TimerId {
    TimerId::new(everpost_persistence::Partition(0), MessageId(name))
}

fn entry(due: u64, since: u64) -> Entry {
    Entry::new(Due::Steady(Steady(due)), Position(since))
}

fn by_wall(due: u64, since: u64) -> Entry {
    Entry::new(Due::Wall(Micros(due)), Position(since))
}

/// Wall time is a million ahead.
fn at(moment: u64) -> Now {
    Now { steady: Steady(moment), wall: Micros(1_000_000 + moment) }
}

fn fire(timers: &[u128], index: &Index) -> Next {
    Next::Fire(timers.iter().map(|name| (timer(*name), index.get(timer(*name)).unwrap())).collect())
}

#[test]
fn the_earliest_fires_first_and_only_when_it_is_due_and_durable() {
    let mut index = Index::default();
    assert_eq!(index.next(at(9), Position(9), 2), Next::Nothing);
    assert!(index.set(timer(1), entry(20, 1)));
    assert!(!index.set(timer(2), entry(30, 2)));
    assert!(index.set(timer(3), entry(10, 3)), "it is due before all others");
    assert_eq!(index.next(at(9), Position(9), 2), Next::After(Duration::from_micros(1)));
    assert!(!index.is_due(at(9)) && index.is_due(at(10)));
    assert_eq!(index.next(at(99), Position(9), 2), fire(&[3, 1], &index), "two at a time");
    assert_eq!(index.next(at(99), Position(2), 9), fire(&[1, 2], &index), "the first waits for its commit");
    assert_eq!(index.next(at(10), Position(2), 9), Next::Durable(Position(3)));
    assert!(index.remove(timer(3)) && !index.remove(timer(3)));
    assert_eq!((index.next(at(10), Position(9), 9), index.len()), (Next::After(Duration::from_micros(10)), 2));
}

#[test]
fn each_timer_runs_on_its_own_clock() {
    let mut index = Index::default();
    assert!(index.set(timer(1), entry(20, 1)));
    assert!(index.set(timer(2), by_wall(1_000_010, 1)), "the first of its clock");
    assert_eq!(index.next(at(0), Position(9), 9), Next::After(Duration::from_micros(10)));
    assert_eq!(index.next(at(30), Position(9), 9), fire(&[2, 1], &index), "the later one first");
    // The wall clock is put back: only what runs by it waits.
    let put_back = Now { wall: Micros(5), ..at(30) };
    assert_eq!(index.next(put_back, Position(9), 9), fire(&[1], &index));
    index.remove(timer(1));
    assert_eq!(index.next(put_back, Position(9), 9), Next::After(Duration::from_micros(1_000_005)));
}

#[test]
fn a_timer_that_cannot_fire_is_kept_and_can_be_cancelled() {
    let mut index = Index::default();
    assert!(!index.set(timer(1), Entry::new(Due::Never, Position(0))));
    assert_eq!((index.next(at(9), Position(9), 9), index.len()), (Next::Nothing, 1));
    assert!(index.remove(timer(1)));
}

#[test]
fn what_is_held_back_lets_others_pass_and_is_due_until_it_has_fired() {
    let mut index = Index::default();
    for name in 1..=3 {
        index.set(timer(name), entry(10, 1));
        index.set(timer(name), Entry { is_held: true, ..entry(10, 1) });
    }
    index.set(timer(4), entry(11, 1));
    assert_eq!(index.next(at(20), Position(9), 9), fire(&[4], &index));
    index.remove(timer(4));
    index.remove(timer(1));
    index.set(timer(2), entry(15, 2));
    assert_eq!(index.next(at(14), Position(9), 9), Next::After(Duration::from_micros(1)));
    assert!(index.holds_back() && index.is_due(at(14)));
    index.look_again(9);
    assert_eq!(
        index.next(at(20), Position(9), 9),
        fire(&[3, 2], &index),
        "what was removed or set anew is not touched"
    );
    assert!(!index.holds_back());
}

/// Sets a timer by one of the clocks or cancels it, and lets time pass.
type Step = (u128, Option<(u64, bool)>, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0..12_u128, proptest::option::of((0..200_u64, any::<bool>())), 0..20_u64), 1..120)
}

proptest! {
    #[test]
    fn every_timer_fires_once_in_the_order_of_their_moments_unless_it_is_cancelled(steps in steps()) {
        let (mut index, mut oracle) = (Index::default(), BTreeMap::new());
        let mut now = 0;
        for (position, (name, due, later)) in steps.into_iter().enumerate() {
            match due {
                Some((due, is_wall)) => {
                    let position = position as u64;
                    let entry = if is_wall { by_wall(1_000_000 + due, position) } else { entry(due, position) };
                    index.set(timer(name), entry);
                    oracle.insert(name, due);
                }
                None => prop_assert_eq!(index.remove(timer(name)), oracle.remove(&name).is_some()),
            }
            now += later;
            let mut last = 0;
            while let Next::Fire(fired) = index.next(at(now), Position(position as u64), 2) {
                prop_assert!(!fired.is_empty() && fired.len() <= 2);
                for (timer, _) in fired {
                    let due = oracle.remove(&timer.message().0).unwrap();
                    prop_assert!(last <= due && due <= now);
                    last = due;
                    prop_assert!(index.remove(timer));
                }
            }
            prop_assert!(oracle.values().all(|due| *due > now), "what is due has fired");
            prop_assert_eq!(index.len(), oracle.len());
            prop_assert_eq!(index.is_due(at(now)), false);
        }
    }
}
