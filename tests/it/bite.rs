//! Does the harness bite? Wrong outcomes, planted one at a time into a right one, are each caught and named.

use everpost_tests::load::{PHANTOM, is_rejected};
use everpost_tests::oracle::{Entry, Found, Oracle};
use everpost_tests::protocol::{Client, Saw};

const STREAM: u32 = 0;

fn saw(saw: Saw) -> Client {
    Client { stream: STREAM, saw }
}

/// Sent 1 to 20 in one life and 21 to 30 in the next; 18 to 20 died with the first.
fn right() -> (Oracle, Found) {
    let mut oracle = Oracle::default();
    let mut found = Found::default();
    for number in 1..=30 {
        if number == 21 {
            oracle.killed();
        }
        oracle.saw(&saw(Saw::Sent(number)));
        if (18..=20).contains(&number) {
            continue;
        }
        oracle.saw(&saw(Saw::Acknowledged(number)));
        if is_rejected(number) {
            found.dead.entry(STREAM).or_default().push(number);
        } else {
            let entry = Entry { number, token: u64::from(number) * 7 };
            found.sources.entry(STREAM).or_default().push(entry);
            found.sinks.entry(STREAM).or_default().push(entry);
            found.total += u64::from(number);
        }
    }
    oracle.saw(&saw(Saw::Replied(9, 63)));
    // The fifth number was rejected, so that the tenth entry is number 11.
    oracle.saw(&saw(Saw::Answered(10, 77)));
    oracle.saw(&saw(Saw::GivenUp(5)));
    oracle.saw(&saw(Saw::Processed(6)));
    oracle.saw(&saw(Saw::ShownAfter(6, Some(9))));
    (oracle, found)
}

fn check(expected: &str, plant: impl FnOnce(&mut Oracle, &mut Found)) {
    let (mut oracle, mut found) = right();
    plant(&mut oracle, &mut found);
    let violation = oracle.judge(&found).expect_err("a wrong outcome is caught");
    assert_eq!(violation.invariant, expected, "{violation}");
}

/// Changes sources and sinks alike, and the total with them.
fn everywhere(found: &mut Found, change: impl Fn(&mut Vec<Entry>)) {
    change(found.sources.get_mut(&STREAM).unwrap());
    change(found.sinks.get_mut(&STREAM).unwrap());
    found.total = found.sinks[&STREAM].iter().map(|entry| u64::from(entry.number)).sum();
}

#[test]
fn the_oracle_accepts_a_right_outcome() {
    let (oracle, found) = right();
    assert_eq!(oracle.judge(&found), Ok(()));
}

#[test]
fn the_oracle_accepts_that_the_unknown_is_there_or_not() {
    let (mut oracle, found) = right();
    oracle.saw(&saw(Saw::Sent(31)));
    assert_eq!(oracle.judge(&found), Ok(()));
    let (mut oracle, mut found) = right();
    oracle.saw(&saw(Saw::Sent(31)));
    everywhere(&mut found, |entries| entries.push(Entry { number: 31, token: 1 }));
    assert_eq!(oracle.judge(&found), Ok(()));
}

#[test]
fn the_oracle_catches_a_lost_message() {
    check("I1", |_, found| everywhere(found, |entries| entries.truncate(entries.len() - 1)));
    check("I1", |_, found| found.dead.clear());
}

#[test]
fn the_oracle_catches_a_dead_letter_without_a_reason() {
    check("I1", |_, found| {
        everywhere(found, |entries| entries.truncate(entries.len() - 1));
        found.dead.get_mut(&STREAM).unwrap().push(30);
    });
}

#[test]
fn the_oracle_catches_a_phantom() {
    check("I2", |_, found| everywhere(found, |entries| entries.push(Entry { number: 31, token: 1 })));
    check("I2", |_, found| everywhere(found, |entries| entries.push(Entry { number: PHANTOM, token: 0 })));
    check("I2", |_, found| drop(found.sources.insert(7, vec![Entry { number: 1, token: 1 }])));
}

#[test]
fn the_oracle_catches_a_doubled_effect() {
    check("I3", |_, found| everywhere(found, |entries| entries.push(*entries.last().unwrap())));
    check("I3", |_, found| found.dead.get_mut(&STREAM).unwrap().push(5));
}

#[test]
fn the_oracle_catches_a_changed_order() {
    check("I4", |_, found| everywhere(found, |entries| entries.swap(3, 4)));
}

#[test]
fn the_oracle_catches_a_hole_in_what_a_crash_took() {
    // 19 is there although 18, sent before it in the same life, is gone.
    check("I4", |_, found| everywhere(found, |entries| entries.insert(16, Entry { number: 19, token: 1 })));
}

#[test]
fn the_oracle_catches_half_a_turn() {
    check("I5", |_, found| found.sinks.get_mut(&STREAM).unwrap().truncate(3));
    check("I5", |_, found| found.sinks.get_mut(&STREAM).unwrap()[3].token += 1);
    check("I5", |_, found| found.total += 1);
    check("I5", |_, found| drop(found.sinks.insert(3, Vec::new())));
}

#[test]
fn the_oracle_catches_what_left_before_its_commit() {
    check("I6", |oracle, _| oracle.saw(&saw(Saw::Replied(10, 1))));
    check("I6", |oracle, _| oracle.saw(&saw(Saw::Answered(3, 1))));
    check("I6", |oracle, _| oracle.saw(&saw(Saw::Answered(99, 1))));
    check("I6", |oracle, _| oracle.saw(&saw(Saw::GivenUp(10))));
}

#[test]
fn the_oracle_catches_a_receipt_that_says_what_is_not_so() {
    check("I6", |oracle, _| oracle.saw(&saw(Saw::Processed(5))));
    check("I1", |oracle, _| oracle.saw(&saw(Saw::Processed(18))));
    check("I6", |oracle, _| oracle.saw(&saw(Saw::ShownAfter(10, Some(9)))));
    check("I6", |oracle, _| oracle.saw(&saw(Saw::ShownAfter(10, None))));
}
