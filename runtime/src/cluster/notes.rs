//! What a peer is to be told beside the messages, until its link says it. Pure.
//!
//! Nothing that somebody waits for is dropped while there is a conversation. What is kept for the next conversation is bounded, and may
//! be: outcomes are asked for anew then by whoever waits for them.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::address::Address;
use crate::link::{Fate, Note};

/// How many notes are kept of each kind that may be lost.
const KEPT_MAX: usize = 65_536;
/// How many bytes of replies are kept for a peer that is not there.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    is_talking: bool,
    outcomes: VecDeque<Note>,
    outcome_bytes: usize,
    /// Kept replies that are not needed any more. They may be lost.
    forgets: VecDeque<Note>,
    /// Questions and answers, which end with the conversation.
    volatile: VecDeque<Note>,
    /// Mailboxes of which the peer is to be told that they are full, or have room again; only the last word counts.
    changed: FxHashMap<Address, bool>,
    /// Mailboxes of which the last word is that they are full.
    full: FxHashSet<Address>,
}

impl Notes {
    /// A conversation begins. The peer asks for every outcome that it waits for; what is kept of them may still be told.
    pub(super) fn begin(&mut self) {
        self.is_talking = true;
        self.volatile.clear();
        self.changed.clear();
        self.full.clear();
    }

    /// The conversation is over.
    pub(super) fn end(&mut self) {
        self.is_talking = false;
        self.volatile.clear();
        self.bound();
    }

    /// Whether it is kept until it is told, or until it makes room for newer ones.
    pub(super) fn push(&mut self, note: Note) -> bool {
        match &note {
            Note::Outcome { fate, .. } => {
                self.outcome_bytes += bytes_of(fate);
                self.outcomes.push_back(note);
                if !self.is_talking {
                    self.bound();
                }
            }
            Note::Forget { .. } => {
                if self.forgets.len() == KEPT_MAX {
                    self.forgets.pop_front();
                }
                self.forgets.push_back(note);
            }
            // Whoever asked is told by the end of the conversation that the question is lost.
            _ if self.is_talking => self.volatile.push_back(note),
            _ => return false,
        }
        true
    }

    /// Whether that is news.
    pub(super) fn set_full(&mut self, address: &Address, is_full: bool) -> bool {
        let is_news = match is_full {
            true => self.full.insert(address.clone()),
            false => !self.full.is_empty() && self.full.remove(address),
        };
        if is_news && self.is_talking {
            self.changed.insert(address.clone(), is_full);
        }
        is_news && self.is_talking
    }

    /// Takes up to `notes_max` notes that are to be told now.
    pub(super) fn take(&mut self, notes_max: usize) -> Vec<Note> {
        let mut taken = Vec::new();
        if !self.changed.is_empty() {
            // Few: of mailboxes that are full, and each at most once.
            let changed = self.changed.drain().map(|(address, is_full)| {
                let destination = address.to_string();
                if is_full { Note::Full { destination } } else { Note::Room { destination } }
            });
            taken.extend(changed);
        }
        for queue in [&mut self.volatile, &mut self.outcomes, &mut self.forgets] {
            let room = notes_max.saturating_sub(taken.len()).min(queue.len());
            taken.extend(queue.drain(..room));
        }
        for note in &taken {
            if let Note::Outcome { fate, .. } = note {
                self.outcome_bytes -= bytes_of(fate);
            }
        }
        taken
    }

    /// Drops the oldest outcomes that are too many to be kept.
    fn bound(&mut self) {
        while self.outcomes.len() > KEPT_MAX || self.outcome_bytes > KEPT_BYTES_MAX {
            let Some(Note::Outcome { fate, .. }) = self.outcomes.pop_front() else { return };
            self.outcome_bytes -= bytes_of(&fate);
        }
    }
}

fn bytes_of(fate: &Fate) -> usize {
    match fate {
        Fate::Handled(reply) => reply.as_ref().map_or(0, Vec::len),
        Fate::GivenUp(reason) => reason.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: u128, bytes: usize) -> Note {
        Note::Outcome { id, fate: Fate::Handled(Some(vec![0; bytes])) }
    }

    fn query(number: u64) -> Note {
        let (destination, question) = ("a/b".to_owned(), "q".to_owned());
        Note::Query { number, destination, question, version: 1, payload: Vec::new() }
    }

    fn all(notes: &mut Notes) -> Vec<Note> {
        std::iter::from_fn(|| Some(notes.take(1000)).filter(|taken| !taken.is_empty())).flatten().collect()
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

    #[test]
    fn what_is_kept_for_a_peer_that_is_not_there_is_bounded() {
        let mut notes = Notes::default();
        notes.begin();
        notes.push(query(1));
        for id in 0..100 {
            notes.push(outcome(id, 1 << 20));
        }
        notes.end();
        assert!(!notes.push(query(2)), "whoever asks between two conversations is told at once");
        notes.push(outcome(100, 1 << 20));
        notes.begin();
        let kept = all(&mut notes);
        assert_eq!(kept.len(), KEPT_BYTES_MAX >> 20, "and no question of the conversation before");
        assert_eq!(kept.last(), Some(&outcome(100, 1 << 20)), "the newest are kept");
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
        assert_eq!(all(&mut notes), [Note::Room { destination: address.to_string() }]);
        assert!(notes.set_full(&address, true));
        notes.end();
        notes.begin();
        assert_eq!(all(&mut notes), [], "a new conversation begins without full mailboxes");
    }
}
