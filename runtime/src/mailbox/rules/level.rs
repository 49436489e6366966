//! The messages of one priority, first in, first out.

use std::collections::{BTreeMap, VecDeque};

use everpost_persistence::Position;

use super::{Failures, LOAD_MESSAGES, WINDOW_MESSAGES};
use crate::base::clock::Steady;

/// A queue whose front holds bodies, so that the next turns need no disk; what does not fit is an 8-byte position
/// behind it, and its body is read from the store when its turn comes near.
#[derive(Debug)]
pub(super) struct Level<B> {
    pub(super) window: VecDeque<(Position, B)>,
    /// Behind the window, in order; bodies are in the store only.
    pub(super) beyond: VecDeque<Position>,
}

/// What is on disk, and whether messages are visible before they are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) durable: Position,
    pub(super) early: bool,
}

/// What the head of a level lets happen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    Ready,
    /// These bodies are needed first.
    Load(Vec<Position>),
    Durable(Position),
    /// It backs off until then.
    Until(Steady),
    Empty,
}

impl<B: Clone> Level<B> {
    pub(super) fn new() -> Self {
        Self { window: VecDeque::new(), beyond: VecDeque::new() }
    }

    /// Appends a message; returns whether its body was kept.
    pub(super) fn push(&mut self, position: Position, body: B, keep: bool) -> bool {
        let kept = keep && self.beyond.is_empty() && self.window.len() < WINDOW_MESSAGES;
        if kept {
            self.window.push_back((position, body));
        } else {
            self.beyond.push_back(position);
        }
        kept
    }

    /// `now` is asked only if something failed before.
    pub(super) fn prospect(
        &self,
        failures: &BTreeMap<Position, Failures>,
        now: impl FnOnce() -> Steady,
        sight: Sight,
    ) -> Prospect {
        let Some(first) = self.first() else { return Prospect::Empty };
        let is_in_memory = !self.window.is_empty();
        // A body is read only once it is durable, whatever the delivery: before that it is not in the store.
        if first > sight.durable && !(sight.early && is_in_memory) {
            return Prospect::Durable(first);
        }
        match failures.get(&first) {
            // Before its body is read, which would only take the place of what can be handled.
            Some(failures) if failures.not_before > now() => Prospect::Until(failures.not_before),
            _ if is_in_memory => Prospect::Ready,
            _ => Prospect::Load(self.to_be_read(sight.durable)),
        }
    }

    fn to_be_read(&self, durable: Position) -> Vec<Position> {
        let ready = self.beyond.iter().take(LOAD_MESSAGES).take_while(|position| **position <= durable);
        ready.copied().collect()
    }

    /// Brings the body of the first message beyond the window. Hands it back when it is another's.
    pub(super) fn loaded(&mut self, position: Position, body: B) -> Result<(), B> {
        if self.beyond.front() != Some(&position) {
            return Err(body);
        }
        self.beyond.pop_front();
        self.window.push_back((position, body));
        Ok(())
    }

    /// Drops bodies that are in the store, but not that of the message in flight, which is the first. Where not all of
    /// them are in the store yet none is dropped: what has no body is behind what has.
    pub(super) fn leave_to_the_store(&mut self, in_flight: usize, durable: Position, mut left: impl FnMut(&B)) {
        if self.window.back().is_some_and(|(last, _)| *last <= durable) {
            for (position, body) in self.window.drain(in_flight..).rev() {
                left(&body);
                self.beyond.push_front(position);
            }
            self.window.shrink_to_fit();
        }
    }

    /// Gives back memory that a long queue has left.
    pub(super) fn shrink(&mut self) {
        if self.beyond.len() < self.beyond.capacity() / 4 {
            self.beyond.shrink_to(self.beyond.len() * 2);
        }
    }

    /// The position of the head, wherever its body is.
    pub(super) fn first(&self) -> Option<Position> {
        self.window.front().map(|(position, _)| *position).or_else(|| self.beyond.front().copied())
    }

    pub(super) fn front(&self) -> Option<&(Position, B)> {
        self.window.front()
    }

    pub(super) fn pop_front(&mut self) -> Option<(Position, B)> {
        self.window.pop_front()
    }

    /// Takes a message out, wherever it is. None when it is not here; its body only if that was in memory.
    pub(super) fn remove(&mut self, position: Position) -> Option<Option<B>> {
        if let Ok(index) = self.window.binary_search_by_key(&position, |(waiting, _)| *waiting) {
            return self.window.remove(index).map(|(_, body)| Some(body));
        }
        let index = self.beyond.binary_search(&position).ok()?;
        self.beyond.remove(index);
        Some(None)
    }

    /// Takes out those of these messages that are here, given in ascending order. Tells each, and its body if that was
    /// in memory.
    pub(super) fn remove_all(&mut self, positions: &[Position], mut gone: impl FnMut(Position, Option<B>)) {
        let Some(last) = positions.last() else { return };
        // Positions ascend from the front of the window to the end of what is beyond it, so that one walk finds all.
        let mut next = 0;
        let mut is_gone = |position: Position| {
            while positions.get(next).is_some_and(|passed| *passed < position) {
                next += 1;
            }
            positions.get(next) == Some(&position)
        };
        // Nearly always they are the oldest.
        while let Some((position, _)) = self.window.front()
            && is_gone(*position)
        {
            let (position, body) = self.window.pop_front().expect("there is a front");
            gone(position, Some(body));
        }
        if self.window.front().is_some_and(|(front, _)| front <= last) {
            self.window.retain(|(position, body)| {
                let is_gone = is_gone(*position);
                if is_gone {
                    gone(*position, Some(body.clone()));
                }
                !is_gone
            });
        }
        if self.beyond.front().is_some_and(|front| front <= last) {
            self.beyond.retain(|position| {
                let is_gone = is_gone(*position);
                if is_gone {
                    gone(*position, None);
                }
                !is_gone
            });
            self.shrink();
        }
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.window.binary_search_by_key(&position, |(position, _)| *position).is_ok()
            || self.beyond.binary_search(&position).is_ok()
    }

    /// Whether the head waits for its next attempt.
    pub(super) fn backs_off(&self, failures: &BTreeMap<Position, Failures>, now: Steady) -> bool {
        self.first().and_then(|head| failures.get(&head)).is_some_and(|failures| failures.not_before > now)
    }

    pub(super) fn len(&self) -> usize {
        self.window.len() + self.beyond.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty() && self.beyond.is_empty()
    }
}
