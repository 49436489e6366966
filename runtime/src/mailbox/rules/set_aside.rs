//! Messages that wait beside their queues until a moment: put off, failed in an actor whose order does not matter, or
//! given back by their holders.

use std::collections::BTreeMap;

use everpost_persistence::Position;

use super::NEVER;
use crate::base::clock::Steady;

/// From when on a message may be delivered again, and which it is.
pub(super) type Due = (Steady, Position);

/// Bodies as far as they are in memory.
#[derive(Debug)]
pub(super) struct SetAside<B> {
    for_turns: BTreeMap<Due, Option<B>>,
    /// Those that are held when they are delivered.
    for_holds: BTreeMap<Due, Option<B>>,
}

impl<B> Default for SetAside<B> {
    fn default() -> Self {
        Self { for_turns: BTreeMap::new(), for_holds: BTreeMap::new() }
    }
}

impl<B> SetAside<B> {
    pub(super) fn insert(&mut self, due: Due, is_for_holds: bool, body: Option<B>) {
        let messages = if is_for_holds { &mut self.for_holds } else { &mut self.for_turns };
        messages.insert(due, body);
    }

    /// The first that may be delivered, and its body. `may_hold`: whether one more may be held.
    pub(super) fn first_due(&self, now: Steady, may_hold: bool) -> Option<(Due, Option<&B>)> {
        let (due, body) = self.first(may_hold).filter(|((moment, _), _)| *moment <= now)?;
        Some((due, body.as_ref()))
    }

    /// When the first may be delivered.
    pub(super) fn next_moment(&self, may_hold: bool) -> Option<Steady> {
        self.first(may_hold).map(|((moment, _), _)| moment).filter(|moment| *moment < NEVER)
    }

    fn first(&self, may_hold: bool) -> Option<(Due, &Option<B>)> {
        let for_holds = self.for_holds.first_key_value().filter(|_| may_hold);
        let firsts = self.for_turns.first_key_value().into_iter().chain(for_holds);
        firsts.min_by_key(|(due, _)| **due).map(|(due, body)| (*due, body))
    }

    /// The body of a message that waits here, if that is in memory.
    pub(super) fn get(&self, due: Due) -> Option<&Option<B>> {
        self.for_turns.get(&due).or_else(|| self.for_holds.get(&due))
    }

    pub(super) fn get_mut(&mut self, due: Due) -> Option<&mut Option<B>> {
        self.for_turns.get_mut(&due).or_else(|| self.for_holds.get_mut(&due))
    }

    pub(super) fn contains(&self, due: Due) -> bool {
        self.get(due).is_some()
    }

    pub(super) fn is_for_holds(&self, due: Due) -> bool {
        self.for_holds.contains_key(&due)
    }

    /// Drops bodies that are in the store, but not that of the message in flight.
    pub(super) fn leave_to_the_store(&mut self, in_flight: Option<Due>, durable: Position, mut left: impl FnMut(&B)) {
        for (due, body) in self.for_turns.iter_mut().chain(&mut self.for_holds) {
            if due.1 <= durable && in_flight != Some(*due) {
                body.take().iter().for_each(&mut left);
            }
        }
    }

    pub(super) fn remove(&mut self, due: Due) -> Option<Option<B>> {
        self.for_turns.remove(&due).or_else(|| self.for_holds.remove(&due))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, Option<&B>)> {
        self.for_turns.iter().chain(&self.for_holds).map(|((_, position), body)| (*position, body.as_ref()))
    }

    pub(super) fn len(&self) -> usize {
        self.for_turns.len() + self.for_holds.len()
    }
}
