//! The queue of dead letters: what is known of them in memory. It is changed under one lock, in the step that submits
//! the change to the store, so that what was decided on a dead letter is known from then on, whatever becomes of
//! whoever decided.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::{Position, ReadError, Store};
use tokio::time::Instant;

use super::status::DeadLetterStatus;
use crate::base::alarm::{Alarm, Said};
use crate::base::clock::Steady;
use crate::config::when_full::WhenFull;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::newest::Newest;
use crate::shard::rules::dead_letters::{Index, Known, known_of};
use crate::tables;

/// The dead letters of a node.
#[derive(Debug)]
pub(crate) struct DeadLetterQueue {
    dead_letters: Mutex<DeadLetterSet>,
    /// For how many dead letters that are not here yet there is to be room. It grows under the lock only.
    promised: AtomicUsize,
    dead_letters_max: usize,
    when_full: WhenFull,
}

/// What the lock protects. Locked after mailboxes and before the store's queue.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterSet {
    index: Index,
    /// What became of messages whose dead letters are not here any more.
    pub(crate) left: Newest<DeadLetterStatus>,
    /// The newest submission that has put a dead letter here or taken one away: what is known here is in the store when
    /// this is durable.
    newest: Position,
    /// How many dead letters have gone back to their mailboxes.
    revived: u64,
    /// How many the node itself has dropped: for their age, or to make room.
    dropped: u64,
    /// As in [`DeadLetterQueue`], and only where the oldest makes room for a new one.
    drops_from: Option<usize>,
    many: Alarm,
    full: Alarm,
}

/// Room for one more dead letter, which is nobody else's from here on: between the decision to give up on a message and
/// the step that does there is a wait for the store. Given back when it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Slot<'a>(&'a DeadLetterQueue);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.promised.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DeadLetterQueue {
    pub(crate) fn new(dead_letters_max: usize, when_full: WhenFull) -> Self {
        let drops_from = (when_full == WhenFull::DropOldest).then_some(dead_letters_max);
        let dead_letters = DeadLetterSet { drops_from, ..DeadLetterSet::default() };
        Self { dead_letters: Mutex::new(dead_letters), promised: AtomicUsize::new(0), dead_letters_max, when_full }
    }

    /// The dead letters, for a step that submits a change of them: locked when they are first looked at, until it is
    /// over.
    pub(crate) fn in_step(&self) -> DeadLettersInStep<'_> {
        DeadLettersInStep { queue: self, locked: None }
    }

    /// The dead letters.
    pub(crate) fn dead_letters(&self) -> MutexGuard<'_, DeadLetterSet> {
        self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.dead_letters().index.len()
    }

    /// Whether there is no room for another dead letter, and none is to be made.
    pub(crate) fn holds_back(&self) -> bool {
        self.when_full == WhenFull::HoldBack && self.count() >= self.dead_letters_max
    }

    /// Room for another dead letter; none where it is full, and none is to be made.
    pub(crate) fn slot(&self) -> Option<Slot<'_>> {
        let dead_letters = self.dead_letters();
        let kept = dead_letters.index.len() + self.promised.load(Ordering::Relaxed);
        let is_full = self.when_full == WhenFull::HoldBack && kept >= self.dead_letters_max;
        (!is_full).then(|| self.promise(&dead_letters))
    }

    /// Room for a dead letter that must be kept however many there are.
    pub(crate) fn slot_in_any_case(&self) -> Slot<'_> {
        self.promise(&self.dead_letters())
    }

    fn promise(&self, _: &MutexGuard<'_, DeadLetterSet>) -> Slot<'_> {
        self.promised.fetch_add(1, Ordering::Relaxed);
        Slot(self)
    }

    /// How many dead letters the node itself has dropped since it was started.
    pub(crate) fn dropped(&self) -> u64 {
        self.dead_letters().dropped
    }

    /// For how many more dead letters there is room.
    pub(crate) fn room(&self) -> usize {
        self.dead_letters_max.saturating_sub(self.count())
    }

    /// The dead letter of this message, if it is one.
    pub(crate) fn find(&self, id: MessageId) -> Option<Position> {
        self.dead_letters().find(id)
    }

    /// Where a message is that may have been given up on.
    pub(crate) fn status(&self, id: MessageId) -> DeadLetterStatus {
        self.dead_letters().status(id)
    }

    pub(crate) fn contains(&self, dead_letter: Position) -> bool {
        self.dead_letters().index.contains(dead_letter)
    }

    /// Up to `max` dead letters after this one.
    pub(crate) fn after(&self, last: Option<Position>, max: usize) -> Vec<Position> {
        self.dead_letters().index.after(last, max)
    }

    /// What must be durable for the store to have what is known here.
    pub(crate) fn newest(&self) -> Position {
        self.dead_letters().newest()
    }

    /// How many dead letters have gone back to their mailboxes: who looks for a message in its mailbox and then here
    /// has missed none if this is the same before and after.
    pub(crate) fn revived(&self) -> u64 {
        self.dead_letters().revived
    }

    /// A dead letter was put here: warns when there are many.
    pub(crate) fn warn(&self, node: &str) {
        let mut dead_letters = self.dead_letters();
        let (count, dead_letters_max) = (dead_letters.index.len(), self.dead_letters_max);
        let now = Instant::now();
        if count < dead_letters_max - dead_letters_max / 5 {
            dead_letters.many.clear(now);
        } else if let Some(Said { times, lasts }) = dead_letters.many.raise(now) {
            tracing::warn!(
                node,
                count,
                dead_letters_max,
                times,
                ?lasts,
                event = "many dead letters",
                "replay or delete some before there is no room for more"
            );
        }
    }

    /// The oldest dead letter was dropped for that of a message to this actor.
    pub(crate) fn alarm_dropped(&self, node: &str, actor: &Address) {
        let mut dead_letters = self.dead_letters();
        if let Some(Said { times, lasts }) = dead_letters.full.raise(Instant::now()) {
            let (dead_letters_max, dropped) = (self.dead_letters_max, dead_letters.dropped);
            drop(dead_letters);
            tracing::error!(
                node, %actor, dead_letters_max, dropped, times, ?lasts, event = "dead letter dropped",
                "there are as many as may be, so that the oldest makes room for a new one and is lost: replay or \
                 delete some, or raise `dead_letters_max`"
            );
        }
    }

    /// Learns of the dead letters that the start finds in the store. Blocks.
    pub(crate) fn recover(&self, store: &Store) -> Result<(), ReadError> {
        let (mut dead_letters, last, mut beyond) = (self.dead_letters(), store.durable(), None);
        store.scan(&tables::DEAD_LETTERS, |key, record| {
            let position = tables::dead_letter_of(key);
            // A later message could become a dead letter in its place.
            if position > last {
                beyond = Some(tables::DEAD_LETTERS.damage(key, "its position was never given out"));
                return ControlFlow::Break(());
            }
            dead_letters.index.insert(position, known_of(record));
            ControlFlow::Continue(())
        })?;
        Ok(beyond.map_or(Ok(()), Err)?)
    }
}

/// The dead letters, in one step that submits a change of them.
pub(crate) struct DeadLettersInStep<'a> {
    queue: &'a DeadLetterQueue,
    locked: Option<MutexGuard<'a, DeadLetterSet>>,
}

impl<'a> DeadLettersInStep<'a> {
    pub(crate) fn unlock(&mut self) {
        self.locked = None;
    }

    pub(crate) fn get(&mut self) -> &mut DeadLetterSet {
        let queue: &'a DeadLetterQueue = self.queue;
        self.locked.get_or_insert_with(|| queue.dead_letters())
    }
}

impl DeadLetterSet {
    /// A dead letter was put here, where there was room for it, by the submission with this ticket.
    pub(crate) fn added(&mut self, slot: Slot<'_>, dead_letter: Position, known: Option<Known>, ticket: Position) {
        self.index.insert(dead_letter, known);
        self.newest = self.newest.max(ticket);
        // Only now, so that nobody else finds room meanwhile.
        drop(slot);
    }

    /// As [`DeadLetterQueue::newest`].
    pub(crate) fn newest(&self) -> Position {
        self.newest
    }

    /// What is known of a dead letter that is here, for the step that takes it away.
    pub(crate) fn get(&self, dead_letter: Position) -> Option<Option<Known>> {
        self.index.get(dead_letter)
    }

    pub(crate) fn find(&self, id: MessageId) -> Option<Position> {
        self.index.find(id)
    }

    /// The dead letter that is to be dropped for another one, if there is no room otherwise.
    pub(crate) fn to_make_room(&self) -> Option<Position> {
        let is_full = self.drops_from.is_some_and(|dead_letters_max| self.index.len() >= dead_letters_max);
        self.index.oldest().filter(|_| is_full).map(|(_, oldest)| oldest)
    }

    /// Up to `max` of the oldest dead letters, as many as there are beyond those that may be.
    pub(crate) fn excess(&self, max: usize) -> Vec<Position> {
        let excess = self.drops_from.map_or(0, |dead_letters_max| self.index.len().saturating_sub(dead_letters_max));
        self.index.until(Steady(u64::MAX), excess.min(max))
    }

    /// Up to `max` dead letters that were given up on at that moment or before, the oldest first.
    pub(crate) fn older_than(&self, moment: Steady, max: usize) -> Vec<Position> {
        self.index.until(moment, max)
    }

    /// The node has dropped a dead letter by the submission with this ticket.
    pub(crate) fn dropped(&mut self, dead_letter: Position, ticket: Position) {
        self.removed(dead_letter, ticket);
        self.dropped += 1;
    }

    /// Whether a dead letter is here, for the step that takes it away.
    pub(crate) fn has(&self, dead_letter: Position) -> bool {
        self.index.contains(dead_letter)
    }

    /// A dead letter went back to its mailbox, or on its way there, at this position and as the message with this id,
    /// by the submission with this ticket.
    pub(crate) fn revived(&mut self, dead_letter: Position, id: MessageId, position: Position, ticket: Position) {
        let known = self.get(dead_letter).flatten();
        self.removed(dead_letter, ticket);
        if known.is_some_and(|known| known.id == id) {
            self.note_replayed(id, position);
        }
        self.revived += 1;
    }

    /// A dead letter was taken away by the submission with this ticket.
    pub(crate) fn removed(&mut self, dead_letter: Position, ticket: Position) {
        if let Some(known) = self.get(dead_letter).flatten() {
            self.note_gone(dead_letter, known);
        }
        let was_there = self.index.remove(dead_letter);
        debug_assert!(was_there, "looked at in the same step");
        self.newest = self.newest.max(ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_promised_to_one_is_nobody_elses() {
        let queue = DeadLetterQueue::new(2, WhenFull::HoldBack);
        let (first, second) = (queue.slot().unwrap(), queue.slot().unwrap());
        assert!(queue.slot().is_none(), "there is none left, though no letter is here yet");
        drop(first);
        let third = queue.slot().unwrap();
        for (number, slot) in [second, third].into_iter().enumerate() {
            queue.dead_letters().added(slot, Position(number as u64), None, Position(9));
        }
        assert!(queue.slot().is_none() && queue.holds_back());
        queue.dead_letters().removed(Position(0), Position(9));
        assert!(queue.slot().is_some(), "a letter has gone");
        let beyond = [(); 3].map(|()| queue.slot_in_any_case());
        assert!(queue.slot().is_none());
        drop(beyond);
        let queue = DeadLetterQueue::new(1, WhenFull::DropOldest);
        let slots = [queue.slot(), queue.slot()];
        assert!(slots.iter().all(Option::is_some), "the oldest makes room in the step that needs it");
    }
}
