use everpost_persistence::{MailboxId, Partition};

use super::*;
use crate::tables;

fn outcome(id: u128, bytes: usize) -> Note {
    Note::Outcome { id, fate: Fate::Handled(Some(vec![0; bytes])) }
}

fn query(number: u64) -> Note {
    let (destination, query) = ("a/b".to_owned(), "q".to_owned());
    Note::Query { number, destination, query, version: 1, payload: Vec::new() }
}

fn all(notes: &mut Notes) -> Vec<ToTell> {
    std::iter::from_fn(|| Some(notes.take(1000, usize::MAX)).filter(|taken| !taken.is_empty())).flatten().collect()
}

/// Outcomes above 65,536 used to be dropped, and whoever waited for them was never told.
#[test]
fn nothing_that_is_waited_for_is_dropped_in_a_conversation() {
    let mut notes = Notes::default();
    notes.begin();
    let total = 3 * KEPT_MAX;
    for id in 0..total {
        notes.push(outcome(id as u128, 0));
        notes.push(query(id as u64));
    }
    assert_eq!(all(&mut notes).len(), 2 * total);
}

/// Replies used to wait without a bound.
#[test]
fn of_outcomes_beyond_the_bound_in_bytes_the_fact_is_kept_and_the_reply_is_lost() {
    let mut notes = Notes::default();
    notes.begin();
    let (kept, beyond) = (OUTCOME_BYTES_MAX >> 20, 100);
    for id in 0..kept + beyond {
        assert_eq!(notes.are_many(), id >= kept / 4);
        notes.push(outcome(id as u128, 1 << 20));
        notes.push(Note::Outcome { id: 7, fate: Fate::GivenUp("x".repeat(1000)) });
    }
    assert!(notes.outcome_bytes < OUTCOME_BYTES_MAX + 200 * beyond, "{}", notes.outcome_bytes);
    notes.push_stored(9, key());
    let told = all(&mut notes);
    assert_eq!(told.len(), 2 * (kept + beyond) + 1, "everybody is told");
    let lost = told.iter().filter(|told| matches!(told, ToTell::Note(Note::Outcome { fate: Fate::Handled(None), .. })));
    assert!(lost.count() >= beyond);
    assert_eq!(told.last(), Some(&ToTell::Stored { id: 9, key: key() }), "what the store has is not lost");
    assert_eq!((notes.outcome_bytes, notes.are_many()), (0, false));
}

fn key() -> Key {
    tables::reply(Partition(1), MailboxId(2), 3)
}

#[test]
fn answers_are_made_while_there_is_room_and_counted_until_they_are_written() {
    let mut notes = Notes::default();
    notes.begin();
    let answer = || Ok(vec![0; 1 << 20]);
    let mut made = 0;
    while notes.may_answer() {
        notes.made(&answer());
        made += 1;
    }
    assert_eq!(made, ANSWER_BYTES_MAX >> 20);
    for number in 0..made {
        assert!(notes.push(Note::Answer { number: number as u64, answer: answer() }) && !notes.may_answer());
    }
    assert_eq!(notes.take(1000, 1).len(), 1, "one at least, however large");
    assert!(notes.may_answer());
    assert_eq!(notes.take(1000, 2 << 20).len(), 2);
    notes.made(&answer());
    notes.end();
    assert_eq!(notes.answer_bytes, 1 << 20, "one waits for its commit still");
    assert!(!notes.push(Note::Answer { number: 99, answer: answer() }));
    assert_eq!(notes.answer_bytes, 0);
}

#[test]
fn a_peer_that_asks_and_does_not_hear_is_found_out() {
    let mut notes = Notes::default();
    notes.begin();
    for id in 0..=OUTCOMES_MAX {
        assert!(!notes.are_too_many());
        notes.push(Note::Outcome { id: id as u128, fate: Fate::Handled(None) });
    }
    assert!(notes.are_too_many());
}

#[test]
fn what_is_kept_for_a_peer_that_is_not_there_is_bounded() {
    let mut notes = Notes::default();
    notes.begin();
    notes.push(query(1));
    notes.end();
    for id in 0..100 {
        notes.push(outcome(id, 1 << 20));
    }
    assert!(!notes.push(query(2)), "whoever asks between two conversations is told at once");
    notes.push(outcome(100, 1 << 20));
    notes.begin();
    let kept = all(&mut notes);
    assert_eq!(kept.len(), OUTCOME_BYTES_MAX >> 20, "and no query of the conversation before");
    assert_eq!(kept.last(), Some(&ToTell::Note(outcome(100, 1 << 20))), "the newest are kept");
    assert_eq!(notes.outcome_bytes, 0);
}

#[test]
fn of_a_mailbox_the_last_word_is_told_once() {
    let address = Address::parse("worker/one").unwrap();
    let mut notes = Notes::default();
    notes.begin();
    assert!(!notes.set_full(&address, false), "it was never full");
    for _ in 0..KEPT_MAX {
        assert!(notes.set_full(&address, true) && !notes.set_full(&address, true));
        assert!(notes.set_full(&address, false));
    }
    assert_eq!(all(&mut notes), [ToTell::Note(Note::Room { destination: address.to_string() })]);
    assert!(notes.set_full(&address, true));
    notes.end();
    notes.begin();
    assert_eq!(all(&mut notes), [], "a new conversation begins without full mailboxes");
}

/// The next process of the peer took it for the answer to its own query of that number.
#[test]
fn the_answer_to_a_query_of_an_earlier_conversation_is_told_to_nobody() {
    let mut notes = Notes::default();
    notes.begin();
    let earlier = notes.conversation();
    let answer = || Ok(vec![7; 100]);
    notes.made(&answer());
    notes.end();
    notes.begin();
    notes.push_answer(earlier, 3, answer());
    assert!(notes.is_empty() && notes.answer_bytes == 0);
    notes.made(&answer());
    notes.push_answer(notes.conversation(), 3, answer());
    assert_eq!(notes.take(10, 1000), [ToTell::Note(Note::Answer { number: 3, answer: answer() })]);
    assert!(notes.is_empty());
}
