//! Positions, tickets and what a panic leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::admission::{Admission, Class};
use crate::config::Config;
use crate::declared;
use crate::ids::{Partition, ShardId};
use crate::limits::Limits;
use crate::record::CHANGE_BYTES;

fn setup() -> (Queue, Arc<Admission>) {
    let limits = Limits::new(&Config { queue_turns_max: 3, ..Config::default() }, 4096);
    (Queue::new(4, declared::SCHEMA, Position(1)), Arc::new(Admission::new(limits, "/".into(), 0)))
}

fn permit(admission: &Arc<Admission>) -> Permit<'_> {
    admission.try_reserve(Class::Outside, 0).unwrap()
}

fn enqueue(stage: &mut Stage<'_>) -> Position {
    stage.enqueue(&declared::INBOX, Partition(1), Bytes::from_static(b"x"))
}

#[test]
fn positions_and_tickets_are_consecutive() {
    let (queue, admission) = setup();
    let (ticket, records) = queue.submit(permit(&admission), |stage| (enqueue(stage), enqueue(stage)));
    assert_eq!((records, ticket), ((Position(1), Position(2)), Position(3)));
    let (ticket, ()) = queue.submit(permit(&admission), |_| ());
    assert_eq!(ticket, Position(4));
    let (ticket, record) = queue
        .submit(permit(&admission), |stage| stage.enqueue(&declared::OUTBOX, Partition(3), Bytes::from_static(b"y")));
    assert_eq!((record, ticket), (Position(5), Position(6)), "over both tables");

    assert_eq!(queue.wait(&mut Gathering::default()), Work::Submissions);
    let taken = queue.in_flight();
    let marks: Vec<_> = taken.marks.iter().map(|mark| (mark.ticket.0, mark.changes)).collect();
    assert_eq!(marks, [(3, 2), (4, 2), (6, 3)]);
    assert_eq!(taken.marks[0].bytes, 2 * (CHANGE_BYTES + 1));
}

#[test]
fn a_panic_in_a_stage_submits_nothing() {
    let (queue, admission) = setup();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        queue.submit(permit(&admission), |stage| {
            enqueue(stage);
            stage.enqueue(&declared::INBOX, Partition(4), Bytes::new())
        })
    }));
    assert!(panicked.is_err(), "the store has partitions 0 to 3");
    let (ticket, record) = queue.submit(permit(&admission), enqueue);
    assert_eq!((record, ticket), (Position(1), Position(2)));
    queue.wait(&mut Gathering::default());
    let taken = queue.in_flight();
    assert_eq!((taken.marks.len(), taken.changes.len()), (1, 1));
}

#[test]
fn what_cannot_be_is_refused_where_it_happens() {
    let (queue, admission) = setup();
    let refuses =
        |wrong: fn(&mut Stage<'_>)| catch_unwind(AssertUnwindSafe(|| queue.submit(permit(&admission), wrong))).is_err();
    let partition = Partition(0);
    assert!(refuses(|stage| stage.put(declared::inbox(Partition(0), Position(1)), Bytes::new())));
    assert!(refuses(|stage| stage.delete(declared::inbox(Partition(0), Position(1)))));
    assert!(refuses(|stage| stage.put(declared::outbox(Partition(0), Position(1)), Bytes::new())));
    assert!(refuses(|stage| stage.delete(declared::outbox(Partition(0), Position(1)))));
    assert!(refuses(|stage| {
        stage.enqueue(&declared::OUTBOX, Partition(4), Bytes::new());
    }));
    assert!(refuses(|stage| stage.put(declared::received(Partition(4), ShardId(1), 0), Bytes::new())));
    assert!(refuses(|stage| stage.put(declared::attempts(Partition(0), Position(9)), Bytes::new())));
    queue.submit(permit(&admission), |stage| {
        let position = stage.enqueue(&declared::INBOX, partition, Bytes::new());
        stage.put(declared::attempts(partition, position), Bytes::new());
        stage.delete(declared::inbox(partition, position));
        let position = stage.enqueue(&declared::OUTBOX, partition, Bytes::new());
        stage.delete(declared::outbox(partition, position));
        stage.put(declared::peer(ShardId(1)), Bytes::new());
    });
}

#[test]
fn after_the_end_submissions_are_dropped_with_their_room() {
    let (queue, admission) = setup();
    queue.end(Ending::Clean);
    queue.submit(permit(&admission), enqueue);
    assert_eq!(queue.wait(&mut Gathering::default()), Work::Submissions, "what was submitted before comes first");
    let mut taken = queue.in_flight_to_change();
    taken.marks.iter().for_each(|mark| admission.release(1, mark.units as usize));
    taken.clear();
    drop(taken);
    assert_eq!(queue.wait(&mut Gathering::default()), Work::End(Ending::Clean));
    assert!(queue.shut(false));
    for _ in 0..10 {
        let (ticket, record) = queue.submit(permit(&admission), enqueue);
        assert!(ticket > record);
    }
    assert_eq!(queue.depth(), 0);
}

/// How many submissions the writer takes.
fn taken(queue: &Queue) -> usize {
    assert_eq!(queue.wait(&mut Gathering::default()), Work::Submissions);
    let mut taken = queue.in_flight_to_change();
    let submissions = taken.marks.len();
    taken.clear();
    submissions
}

fn first_left(queue: &Queue) -> u64 {
    queue.unhurried.load(Ordering::Relaxed)
}

#[test]
fn what_nobody_waits_for_is_taken_with_what_somebody_waits_for() {
    let (queue, admission) = setup();
    queue.submit_unhurried(permit(&admission), enqueue);
    assert_eq!(first_left(&queue), 1);
    queue.submit(permit(&admission), enqueue);
    queue.submit_unhurried(permit(&admission), enqueue);
    assert_eq!((first_left(&queue), taken(&queue)), (NOTHING, 3));
}

#[test]
fn what_nobody_waits_for_is_taken_after_a_moment() {
    let (queue, admission) = setup();
    for _ in 0..3 {
        queue.submit_unhurried(permit(&admission), enqueue);
        assert_eq!(taken(&queue), 1);
        assert_eq!(first_left(&queue), NOTHING);
    }
}

#[test]
fn whoever_waits_for_what_was_left_hurries_it_and_nobody_else_does() {
    let (queue, admission) = setup();
    let (before, _) = queue.submit(permit(&admission), enqueue);
    taken(&queue);
    let (ticket, record) = queue.submit_unhurried(permit(&admission), enqueue);
    queue.hurry(before);
    assert_eq!(first_left(&queue), record.0, "what is waited for is durable without it");
    queue.hurry(record);
    assert_eq!((first_left(&queue), taken(&queue)), (NOTHING, 1));
    queue.hurry(ticket);
    let (_, next) = queue.submit_unhurried(permit(&admission), enqueue);
    assert_eq!(first_left(&queue), next.0, "who waited for what was taken hurries nothing that comes after it");
}

#[test]
fn a_writer_that_sleeps_is_woken_by_what_it_sleeps_for() {
    let (queue, admission) = setup();
    let sleeps = |asleep| queue.lock().asleep = Some(asleep);
    let is_woken = || queue.lock().asleep.is_none();
    sleeps(Asleep::UntilSubmission);
    queue.submit_unhurried(permit(&admission), enqueue);
    assert!(is_woken(), "it leaves it for a moment, and not for ever");
    sleeps(Asleep::UntilHurry);
    let (ticket, _) = queue.submit_unhurried(permit(&admission), enqueue);
    assert!(!is_woken());
    queue.hurry(ticket);
    assert!(is_woken());
    taken(&queue);
    sleeps(Asleep::UntilHurry);
    queue.submit(permit(&admission), enqueue);
    assert!(is_woken());
}
