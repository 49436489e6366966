//! How many dead letters there are, and may be.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use everpost_persistence::{Key, ReadError, Store, Table};

use super::DeadLetter;
use crate::message::MessageId;
use crate::waiter::Outcome;

/// Counts the dead letters of a node, and lets one decision on them be made at a time.
#[derive(Debug)]
pub(crate) struct Shelf {
    count: AtomicUsize,
    letters_max: usize,
    /// Held from the look at a letter until what became of it is durable: a look sees only what is.
    pub(super) deciding: tokio::sync::Mutex<()>,
}

impl Shelf {
    pub(crate) fn new(letters_max: usize) -> Self {
        Self { count: AtomicUsize::new(0), letters_max, deciding: tokio::sync::Mutex::default() }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() >= self.letters_max
    }

    /// For how many more letters there is room.
    pub(crate) fn room(&self) -> usize {
        self.letters_max.saturating_sub(self.count())
    }

    /// Counts a letter; warns when there are many.
    pub(crate) fn add(&self, node: &str) {
        let (count, letters_max) = (self.count.fetch_add(1, Ordering::Relaxed) + 1, self.letters_max);
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

    pub(super) fn remove(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts the letters that the start finds in the store. Blocks.
    pub(crate) fn recover(&self, store: &Store) -> Result<(), ReadError> {
        let mut count = 0;
        store.scan(Table::DeadLetters, |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        self.count.store(count, Ordering::Relaxed);
        Ok(())
    }
}

/// All dead letters of a store, in the order in which they were sent. Blocks on the disk.
pub(super) fn list(store: &Store) -> Result<Vec<DeadLetter>, ReadError> {
    let mut letters = Vec::new();
    store.scan(Table::DeadLetters, |key, record| {
        if let Key::DeadLetter { position } = key {
            match DeadLetter::decode(*position, record) {
                Some(letter) => letters.push(letter),
                None => tracing::warn!(
                    seq = position.0,
                    event = "record unreadable",
                    "a dead letter cannot be read by this build; it stays in the store"
                ),
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(letters)
}

/// What became of a message that was given up on, if it was. Blocks on the disk, and looks at every dead letter.
pub(crate) fn outcome_of(store: &Store, id: MessageId) -> Result<Option<Outcome>, ReadError> {
    let mut outcome = None;
    store.scan(Table::DeadLetters, |key, record| {
        if let Key::DeadLetter { position } = key
            && let Some(letter) = DeadLetter::decode(*position, record).filter(|letter| letter.id == id)
        {
            outcome = Some(letter.outcome());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(outcome)
}
