//! What does not wait in the ordinary queue: other priorities, messages that are held, waiting or with their holders,
//! and messages set aside. It is made when it is needed and dropped when it is empty, so that a mailbox without any of
//! it pays for a pointer.

use std::collections::BTreeMap;

use everpost_persistence::Position;

use super::level::Level;
use super::queue::Queue;
use super::set_aside::SetAside;
use crate::base::clock::Steady;
use crate::message::priority::Priority;

/// After how many messages of higher priority one of a lower one is next.
const PASSED_MAX: u32 = 64;

#[derive(Debug)]
pub(super) struct Unusual<B> {
    urgent: Level<B>,
    high: Level<B>,
    low: Level<B>,
    /// The queues of messages that are held, by priority; made for the first one.
    for_holds: Option<Box<[Level<B>; Priority::COUNT]>>,
    /// How often each priority was passed in a row although it could have been delivered.
    passed: [u32; Priority::COUNT],
    pub(super) aside: SetAside<B>,
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

impl<B: Clone> Unusual<B> {
    pub(super) fn new() -> Self {
        Self {
            urgent: Level::new(),
            high: Level::new(),
            low: Level::new(),
            for_holds: None,
            passed: [0; Priority::COUNT],
            aside: SetAside::default(),
            aside_was_last: false,
            held: BTreeMap::new(),
        }
    }

    /// A queue, if it is here and was made.
    pub(super) fn level(&self, queue: Queue) -> Option<&Level<B>> {
        match queue {
            Queue { priority, is_for_holds: true } => {
                self.for_holds.as_deref().map(|levels| &levels[priority as usize])
            }
            Queue { priority: Priority::Urgent, .. } => Some(&self.urgent),
            Queue { priority: Priority::High, .. } => Some(&self.high),
            Queue { priority: Priority::Low, .. } => Some(&self.low),
            Queue { priority: Priority::Normal, .. } => None,
        }
    }

    /// A queue, if it is here and was made.
    pub(super) fn made_level_mut(&mut self, queue: Queue) -> Option<&mut Level<B>> {
        if queue.is_for_holds && self.for_holds.is_none() { None } else { self.level_mut(queue) }
    }

    /// A queue, made when it was not there; none for the ordinary one, which is elsewhere.
    pub(super) fn level_mut(&mut self, queue: Queue) -> Option<&mut Level<B>> {
        match queue {
            Queue { priority, is_for_holds: true } => {
                let levels = self.for_holds.get_or_insert_with(|| Box::new(std::array::from_fn(|_| Level::new())));
                Some(&mut levels[priority as usize])
            }
            Queue { priority: Priority::Urgent, .. } => Some(&mut self.urgent),
            Queue { priority: Priority::High, .. } => Some(&mut self.high),
            Queue { priority: Priority::Low, .. } => Some(&mut self.low),
            Queue { priority: Priority::Normal, .. } => None,
        }
    }

    /// All queues that are here.
    pub(super) fn levels_mut(&mut self) -> impl Iterator<Item = &mut Level<B>> {
        let for_holds = self.for_holds.iter_mut().flat_map(|levels| levels.iter_mut());
        [&mut self.urgent, &mut self.high, &mut self.low].into_iter().chain(for_holds)
    }

    /// Of the queues that could deliver, the most urgent first, the one whose turn it is.
    pub(super) fn choose(&mut self, ready: &[Queue]) -> Option<Queue> {
        let is_starving = |queue: &Queue| self.passed[queue.priority as usize] >= PASSED_MAX;
        let starving = ready.iter().rev().copied().find(is_starving);
        let chosen = starving.or_else(|| ready.first().copied())?;
        for queue in ready.iter().filter(|queue| queue.priority < chosen.priority) {
            self.passed[queue.priority as usize] += 1;
        }
        self.passed[chosen.priority as usize] = 0;
        Some(chosen)
    }

    /// A message whose holder is overdue.
    pub(super) fn overdue(&self, now: Steady) -> Option<Position> {
        self.held.iter().find(|(_, held)| held.deadline <= now && held.attempt.is_some()).map(|(position, _)| *position)
    }

    /// When the first holder is overdue.
    fn next_deadline(&self) -> Option<Steady> {
        self.held.values().filter(|held| held.attempt.is_some()).map(|held| held.deadline).min()
    }

    /// When something here changes by itself. `may_hold`: whether one more message may be held.
    pub(super) fn next_moment(&self, may_hold: bool) -> Option<Steady> {
        self.aside.next_moment(may_hold).into_iter().chain(self.next_deadline()).min()
    }

    pub(super) fn len(&self) -> usize {
        let for_holds = self.for_holds.iter().flat_map(|levels| levels.iter());
        let levels = [&self.urgent, &self.high, &self.low].into_iter().chain(for_holds);
        levels.map(Level::len).sum::<usize>() + self.aside.len() + self.held.len()
    }
}
