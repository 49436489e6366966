//! What does not wait in the ordinary queue: other priorities, messages set aside, and messages that someone holds. It is
//! made when it is needed and dropped when it is empty, so that a mailbox without any of it pays for a pointer.

use std::collections::BTreeMap;

use everpost_persistence::Position;

use super::NEVER;
use super::level::Level;
use crate::clock::Steady;
use crate::priority::Priority;

/// After how many messages of higher priority one of a lower one is next.
const PASSED_MAX: u32 = 64;

#[derive(Debug)]
pub(super) struct Apart<B> {
    pub(super) urgent: Level<B>,
    pub(super) high: Level<B>,
    pub(super) low: Level<B>,
    /// How often each priority was passed in a row although it could have been delivered.
    passed: [u32; Priority::COUNT],
    /// By the moment from which they may be delivered again; bodies as far as they are in memory.
    pub(super) aside: BTreeMap<(Steady, Position), Option<B>>,
    /// The last message that was delivered came from aside: the queues are next, if they have one.
    pub(super) aside_was_last: bool,
    pub(super) held: BTreeMap<Position, Held<B>>,
}

/// A message that someone holds: delivered, and not acknowledged yet.
#[derive(Debug)]
pub(super) struct Held<B> {
    pub(super) body: B,
    /// It is taken back then.
    pub(super) deadline: Steady,
    /// Which delivery the holder has; none when the message was taken back, and is about to leave.
    pub(super) attempt: Option<u32>,
}

impl<B: Clone> Apart<B> {
    pub(super) fn new() -> Self {
        Self {
            urgent: Level::new(),
            high: Level::new(),
            low: Level::new(),
            passed: [0; Priority::COUNT],
            aside: BTreeMap::new(),
            aside_was_last: false,
            held: BTreeMap::new(),
        }
    }

    /// Of the priorities that could be delivered, the most urgent first, the one whose turn it is.
    pub(super) fn choose(&mut self, ready: &[Priority]) -> Option<Priority> {
        let starving = ready.iter().rev().copied().find(|priority| self.passed[*priority as usize] >= PASSED_MAX);
        let chosen = starving.or_else(|| ready.first().copied())?;
        for priority in ready.iter().filter(|priority| **priority < chosen) {
            self.passed[*priority as usize] += 1;
        }
        self.passed[chosen as usize] = 0;
        Some(chosen)
    }

    /// A message whose holder is overdue.
    pub(super) fn overdue(&self, now: Steady) -> Option<Position> {
        self.held.iter().find(|(_, held)| held.deadline <= now && held.attempt.is_some()).map(|(position, _)| *position)
    }

    /// The first message aside that may be delivered again.
    pub(super) fn due(&self, now: Steady) -> Option<((Steady, Position), Option<&B>)> {
        let (key, body) = self.aside.first_key_value().filter(|((moment, _), _)| *moment <= now)?;
        Some((*key, body.as_ref()))
    }

    /// When the first holder is overdue.
    pub(super) fn next_deadline(&self) -> Option<Steady> {
        self.held.values().filter(|held| held.attempt.is_some()).map(|held| held.deadline).min()
    }

    /// When something here changes by itself.
    pub(super) fn next_moment(&self) -> Option<Steady> {
        let aside = self.aside.keys().next().map(|(moment, _)| *moment).filter(|moment| *moment < NEVER);
        aside.into_iter().chain(self.next_deadline()).min()
    }

    pub(super) fn len(&self) -> usize {
        self.urgent.len() + self.high.len() + self.low.len() + self.aside.len() + self.held.len()
    }
}
