//! The shelf of dead letters: what is known of them in memory. It is changed under one lock, in the step that submits the
//! change to the store, so that what was decided on a letter is known from then on, whatever becomes of whoever decided.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::{Key, Position, ReadError, Store, Table};

use super::index::{Index, Known};
use super::record::known_of;
use crate::message::MessageId;

/// The dead letters of a node.
#[derive(Debug)]
pub(crate) struct Shelf {
    letters: Mutex<Letters>,
    letters_max: usize,
}

/// What the lock protects. Locked after mailboxes and before the store's queue.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    index: Index,
    /// The newest submission that has put a letter here or taken one away: what is known here is in the store when this is
    /// durable.
    newest: Position,
    /// How many letters have gone back to their mailboxes.
    revived: u64,
}

impl Shelf {
    pub(crate) fn new(letters_max: usize) -> Self {
        Self { letters: Mutex::default(), letters_max }
    }

    /// The letters, for the step that submits a change of them.
    pub(crate) fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.letters().index.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() >= self.letters_max
    }

    /// For how many more letters there is room.
    pub(crate) fn room(&self) -> usize {
        self.letters_max.saturating_sub(self.count())
    }

    /// The letter of this message, if it is one.
    pub(crate) fn find(&self, id: MessageId) -> Option<Position> {
        self.letters().index.find(id)
    }

    pub(super) fn contains(&self, letter: Position) -> bool {
        self.letters().index.contains(letter)
    }

    /// Up to `max` letters after this one.
    pub(super) fn after(&self, last: Option<Position>, max: usize) -> Vec<Position> {
        self.letters().index.after(last, max)
    }

    /// What must be durable for the store to have what is known here.
    pub(crate) fn newest(&self) -> Position {
        self.letters().newest
    }

    /// How many letters have gone back to their mailboxes: who looks for a message in its mailbox and then here has missed none
    /// if this is the same before and after.
    pub(crate) fn revived(&self) -> u64 {
        self.letters().revived
    }

    /// Warns when there are many letters. To be called after one was put here.
    pub(crate) fn warn(&self, node: &str) {
        let (count, letters_max) = (self.count(), self.letters_max);
        if count == letters_max {
            tracing::error!(
                node,
                count,
                letters_max,
                event = "dead letters full",
                "messages that would be given up on stay in their mailboxes and are tried again, until some dead letters are replayed or dropped"
            );
        } else if count == letters_max - letters_max / 5 {
            tracing::warn!(
                node,
                count,
                letters_max,
                event = "many dead letters",
                "replay or drop some before there is no room for more"
            );
        }
    }

    /// Learns of the letters that the start finds in the store. Blocks.
    pub(crate) fn recover(&self, store: &Store) -> Result<(), ReadError> {
        let mut letters = self.letters();
        store.scan(Table::DeadLetters, |key, record| {
            if let Key::DeadLetter { position } = *key {
                letters.index.insert(position, known_of(record));
            }
            ControlFlow::Continue(())
        })
    }
}

impl Letters {
    /// A letter was put here by the submission with this ticket.
    pub(crate) fn added(&mut self, letter: Position, known: Option<Known>, ticket: Position) {
        self.index.insert(letter, known);
        self.newest = self.newest.max(ticket);
    }

    /// What is known of a letter that is here, for the step that takes it away.
    pub(super) fn get(&self, letter: Position) -> Option<Option<Known>> {
        self.index.get(letter)
    }

    /// Whether a letter is here, for the step that takes it away.
    pub(super) fn has(&self, letter: Position) -> bool {
        self.index.contains(letter)
    }

    /// A letter went back to its mailbox by the submission with this ticket.
    pub(super) fn revived(&mut self, letter: Position, ticket: Position) {
        self.removed(letter, ticket);
        self.revived += 1;
    }

    /// A letter was taken away by the submission with this ticket.
    pub(super) fn removed(&mut self, letter: Position, ticket: Position) {
        let was_there = self.index.remove(letter);
        debug_assert!(was_there, "looked at in the same step");
        self.newest = self.newest.max(ticket);
    }
}
