//! Admission without a store: numbers in, decisions out.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::Config;

const MIB: u64 = 1 << 20;

fn admission(turns: usize) -> Admission {
    let config =
        Config { journal_map_bytes: 16 * MIB, tables_map_bytes: 16 * MIB, queue_turns_max: turns, ..Config::default() };
    Admission::new(Limits::new(&config, 4096), "/".into(), 0)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_queue_is_a_refusal_or_a_wait() {
    let admission = admission(1);
    let permit = admission.try_reserve(Class::Outside, 10).unwrap();
    assert!(matches!(admission.try_reserve(Class::Outside, 10), Err(AdmissionError::QueueFull)));
    let mut waiting = pin!(admission.reserve(Class::Turn { growth: 1 }, 10));
    assert!(poll(waiting.as_mut()).is_pending());
    drop(permit);
    assert!(poll(waiting).is_ready());
}

#[test]
fn a_cancelled_wait_takes_nothing() {
    let admission = admission(2);
    let all = 1 << 20;
    let held = admission.try_reserve(Class::Outside, all - CHANGE_BYTES).unwrap();
    {
        // Has its turn, waits for bytes.
        let mut waiting = pin!(admission.reserve(Class::Outside, 100_000));
        assert!(poll(waiting.as_mut()).is_pending());
    }
    drop(held);
    let first = admission.try_reserve(Class::Outside, 0).unwrap();
    let one_less = admission.limits.queue_units - 1;
    let rest = (0..all).rev().find(|&bytes| admission.units_of(bytes).unwrap() <= one_less).unwrap();
    let second = admission.try_reserve(Class::Outside, rest).unwrap();
    drop((first, second));
}

#[test]
fn classes_stand_back_one_after_the_other() {
    let admission = admission(10);
    let refused = |class| match admission.try_reserve(class, 10) {
        Ok(_) => None,
        Err(AdmissionError::StoreFull { used_percent, which }) => Some((used_percent, which)),
        Err(other) => panic!("{other}"),
    };
    let (outside, grows, shrinks) = (Class::Outside, Class::Turn { growth: 1 }, Class::Turn { growth: 0 });
    admission.set_tables_used(16 * MIB * 79 / 100);
    assert_eq!((refused(outside), refused(grows), refused(shrinks)), (None, None, None));
    admission.set_tables_used(16 * MIB * 90 / 100);
    assert_eq!((refused(outside), refused(grows), refused(shrinks)), (Some((89, Environment::Tables)), None, None));
    admission.set_journal_used(16 * MIB * 97 / 100);
    let journal = Some((96, Environment::Journal));
    assert_eq!((refused(outside), refused(grows), refused(shrinks)), (journal, journal, None));
}

#[test]
fn a_growing_turn_waits_until_there_is_room() {
    let admission = admission(10);
    admission.set_tables_used(16 * MIB);
    let mut waiting = pin!(admission.reserve(Class::Turn { growth: 1 }, 10));
    assert!(poll(waiting.as_mut()).is_pending());
    admission.set_tables_used(16 * MIB / 100 * 97);
    assert!(poll(waiting.as_mut()).is_pending());
    admission.set_tables_used(8 * MIB);
    assert!(poll(waiting).is_ready());
}

#[test]
fn waiting_ends_with_the_store() {
    let admission = admission(1);
    let permit = admission.try_reserve(Class::Outside, 10).unwrap();
    let mut queued = pin!(admission.reserve(Class::Outside, 10));
    assert!(poll(queued.as_mut()).is_pending());
    let which = Environment::Journal;
    admission.fail(CommitError::MapFull { which });
    let Poll::Ready(Err(AdmissionError::Failed(CommitError::MapFull { .. }))) = poll(queued) else {
        panic!("not told")
    };
    assert!(matches!(admission.try_reserve(Class::Outside, 1), Err(AdmissionError::Failed(_))));
    drop(permit);
}

#[test]
fn the_chunks_of_a_large_value_count_before_they_are_written() {
    let admission = admission(2);
    let large = 200_000;
    let room = |bytes: usize| admission.units_of(bytes).unwrap() as usize * UNIT_BYTES;
    assert_eq!(room(1000), 1280, "a small one costs its change");
    assert!(room(large) >= large + overhead(large), "a large one its chunks too");
    // Just below the limit without them.
    admission.set_tables_used(16 * MIB / 100 * 80 - 4096 - large as u64 - 2000);
    drop(admission.try_reserve(Class::Outside, 10).unwrap());
    let held = admission.try_reserve(Class::Outside, large).unwrap();
    assert!(matches!(admission.try_reserve(Class::Outside, 0), Err(AdmissionError::StoreFull { .. })));
    drop(held);
    assert!(admission.try_reserve(Class::Outside, 0).is_ok());
}

#[test]
fn too_large_is_said_at_once() {
    let admission = admission(1);
    let refused = admission.try_reserve(Class::Outside, (1 << 20) + 1);
    assert!(matches!(refused, Err(AdmissionError::TooLarge { bytes: 1_048_577, limit: 1_048_576, .. })));
}

#[test]
fn a_full_disk_refuses_outside_work_only() {
    let config = Config::default();
    let admission = Admission::new(Limits::new(&config, 4096), "/".into(), u64::MAX);
    admission.refresh_disk();
    assert!(matches!(admission.try_reserve(Class::Outside, 1), Err(AdmissionError::DiskFull { .. })));
    assert!(admission.try_reserve(Class::Turn { growth: 1 }, 1).is_ok());
}

/// Who of them has room.
fn who_goes(waiting: &mut [Pin<Box<impl Future>>]) -> Vec<bool> {
    waiting.iter_mut().map(|waiting| poll(waiting.as_mut()).is_ready()).collect()
}

#[test]
fn of_turns_that_grow_a_full_store_that_of_the_newest_message_goes_as_far_as_a_part_of_what_is_left() {
    let admission = admission(10);
    let growing =
        |(position, growth)| admission.reserve(Class::Message { growth, position: Position(position) }, growth);
    admission.set_tables_used(16 * MIB / 100 * 95);
    let mut all: Vec<_> =
        [(6, 100), (7, 200), (5, 100), (9, 100_000)].into_iter().map(|turn| Box::pin(growing(turn))).collect();
    for waiting in &mut all {
        assert!(poll(waiting.as_mut()).is_pending());
    }
    let shrinks = admission.try_reserve(Class::Turn { growth: 0 }, 100_000);
    drop(shrinks.expect("what makes room passes"));
    // 1 % is left, of which a turn may take a quarter: the one with the newest message is too large.
    admission.set_tables_used(16 * MIB / 100 * 94);
    assert_eq!(who_goes(&mut all), [false, true, false, false]);
    drop(all.remove(1));
    // One after the other: the second goes when the first has.
    assert_eq!(who_goes(&mut all), [true, true, false]);
    drop(all.drain(..2));
    // Below 93 % whoever waits goes.
    admission.set_tables_used(16 * MIB / 100 * 90);
    assert_eq!(who_goes(&mut all), [true]);
}

#[test]
fn while_one_that_grows_a_full_store_waits_for_the_queue_nobody_else_takes_the_same_room() {
    let admission = admission(10);
    let growing =
        |position| Box::pin(admission.reserve(Class::Message { growth: 25_000, position: Position(position) }, 25_000));
    admission.set_tables_used(16 * MIB / 100 * 94);
    let mut held: Vec<_> =
        (0..10).map(|_| admission.try_reserve(Class::Turn { growth: 0 }, 0).expect("it makes room")).collect();
    let (mut first, mut second) = (growing(5), growing(9));
    assert!(poll(first.as_mut()).is_pending());
    // There is room for one, which goes as soon as there is a turn in the queue.
    assert!(poll(second.as_mut()).is_pending());
    held.truncate(8);
    let Poll::Ready(Ok(permit)) = poll(first.as_mut()) else { panic!("it was first") };
    assert!(poll(second.as_mut()).is_pending());
    held.clear();
    drop(permit);
    assert!(poll(second.as_mut()).is_ready());
}

/// It went round for ever: without its own turn and page there was room, and with them there was none.
#[test]
fn a_submission_does_not_keep_itself_out() {
    let admission = admission(1);
    let usable = admission.limits.usable(16 * MIB, GROWING);
    admission.set_tables_used(usable - 100);
    let held = admission.try_reserve(Class::Turn { growth: 0 }, 0).expect("it makes room");
    let mut waiting = pin!(admission.reserve(Class::Turn { growth: 500 }, 500));
    assert!(poll(waiting.as_mut()).is_pending());
    drop(held);
    assert!(poll(waiting).is_ready());
}

#[test]
fn of_those_that_handle_no_message_the_first_goes_first() {
    let admission = admission(10);
    let growing = || Box::pin(admission.reserve(Class::Turn { growth: 100 }, 100));
    admission.set_tables_used(16 * MIB / 100 * 96);
    let mut all = [growing(), growing()];
    assert_eq!(who_goes(&mut all), [false, false]);
    admission.set_tables_used(16 * MIB / 100 * 94);
    all.reverse();
    assert_eq!(who_goes(&mut all), [false, true]);
}
