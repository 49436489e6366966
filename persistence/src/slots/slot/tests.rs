//! What is in flight is found once, however a run ends; and what was promised.

use super::*;
use crate::ids::{MailboxId, Position};
use crate::slots::map::{FILE_BYTES, LINE_BYTES, MAGIC};

const MAILBOX: MailboxId = MailboxId(u128::MAX - 7);

#[test]
fn what_was_in_flight_is_found_once() {
    let folder = tempfile::tempdir().unwrap();
    let (slots, left) = Slots::open(folder.path()).unwrap();
    assert_eq!(left, []);
    let marks = [
        Mark::Record(Position(3)),
        Mark::Record(Position(7)),
        Mark::MailboxOf(Position(5)),
        Mark::Mailbox(MAILBOX),
        Mark::Query(MailboxId(1)),
    ];
    let mut all: Vec<Slot> = std::iter::from_fn(|| slots.claim()).take(marks.len() + 1).collect();
    for (slot, mark) in all.iter_mut().zip(marks) {
        slot.set(mark);
    }
    let ended = all.last_mut().unwrap();
    let nothing = ended.set(Mark::Record(Position(9)));
    let record = ended.set(Mark::Mailbox(MAILBOX));
    ended.put_back(record);
    assert_eq!(ended.shared.take(ended.index), Some(Mark::Record(Position(9))));
    ended.put_back(nothing);
    // A crash: no destructor runs.
    std::mem::forget(all);
    let (_, left) = Slots::open(folder.path()).unwrap();
    assert_eq!(left, marks);
    let (_, left) = Slots::open(folder.path()).unwrap();
    assert_eq!(left, []);
}

/// A thread that was late cleared what another one had noted since.
#[test]
fn slots_that_were_left_change_nothing_of_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let (before, _) = Slots::open(folder.path()).unwrap();
    let mut late = before.claim().unwrap();
    let nothing = late.set(Mark::Record(Position(3)));
    before.leave();
    let (slots, _) = Slots::open(folder.path()).unwrap();
    let mut slot = slots.claim().unwrap();
    slot.set(Mark::Record(Position(7)));
    late.put_back(nothing);
    late.set(Mark::Record(Position(9)));
    drop(late);
    let noted: Vec<Mark> = slots.in_flight().into_iter().map(|in_flight| in_flight.mark).collect();
    assert_eq!(noted, [Mark::Record(Position(7))]);
    std::mem::forget(slot);
    assert_eq!(Slots::open(folder.path()).unwrap().1, [Mark::Record(Position(7))]);
}

#[test]
fn the_bytes_of_marks_are_fixed_and_a_file_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(Slots::FILE_NAME);
    let line = |first: u8, bytes: &[u8]| {
        let mut line = vec![first];
        line.extend_from_slice(bytes);
        line.resize(LINE_BYTES, 0);
        line
    };
    let lines = [
        line(b'E', b"VPSLOT\x03"),
        line(0, &[0, 0, 0, 0, 0, 1, 2]),
        line(0x40, &[0, 0, 0, 0, 0, 1, 2]),
        line(0x80, &[0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        line(0xc0, &[0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    ];
    let mailbox = MailboxId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let marks =
        [Mark::Record(Position(258)), Mark::MailboxOf(Position(258)), Mark::Mailbox(mailbox), Mark::Query(mailbox)];
    let (slots, _) = Slots::open(folder.path()).unwrap();
    for mark in marks {
        let mut slot = slots.claim().unwrap();
        slot.set(mark);
        std::mem::forget(slot);
    }
    let mut bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes[..5 * LINE_BYTES], lines.concat());
    bytes.truncate(2 * LINE_BYTES);
    bytes[7] = 1;
    bytes.resize(FILE_BYTES, 0);
    std::fs::write(&file, bytes).unwrap();
    let (_, left) = Slots::open(folder.path()).unwrap();
    assert_eq!(left, [Mark::Record(Position(258))]);
    assert_eq!(std::fs::read(&file).unwrap()[..8], MAGIC);
}

#[test]
fn looks_see_what_is_in_flight_and_whether_it_is_still_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (slots, _) = Slots::open(folder.path()).unwrap();
    let mut slot = slots.claim().unwrap();
    assert_eq!(slots.in_flight(), []);
    let before = slot.set(Mark::Record(Position(7)));
    let [first] = slots.in_flight()[..] else { panic!("{:?}", slots.in_flight()) };
    assert_eq!((first.mark, slots.in_flight()), (Mark::Record(Position(7)), vec![first]), "nothing has changed");
    let within = slot.set(Mark::Query(MailboxId(1 << 100 | 5)));
    let [second] = slots.in_flight()[..] else { panic!("{:?}", slots.in_flight()) };
    assert_eq!((second.slot, second.mark), (first.slot, Mark::Query(MailboxId(1 << 100 | 5))));
    slot.put_back(within);
    slot.put_back(before);
    assert_eq!(slots.in_flight(), []);
    let _before = slot.set(Mark::Record(Position(7)));
    let [again] = slots.in_flight()[..] else { panic!("{:?}", slots.in_flight()) };
    assert!(again.mark == first.mark && again.turn != first.turn, "the same message, and another poll");
}

#[test]
fn slots_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (slots, _) = Slots::open(folder.path()).unwrap();
    let all: Vec<Slot> = std::iter::from_fn(|| slots.claim()).collect();
    assert_eq!(all.len(), SLOTS);
    drop(all);
    assert!(slots.claim().is_some());
}

#[test]
fn a_file_of_another_shape_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(Slots::FILE_NAME), b"something else").unwrap();
    let (slots, left) = Slots::open(folder.path()).unwrap();
    assert_eq!(left, []);
    slots.claim().unwrap().set(Mark::Record(Position(1)));
}
