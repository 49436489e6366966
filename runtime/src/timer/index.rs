//! Which timers there are, and which is due next: the index of what the store keeps. Pure: the moment and what is
//! durable are handed in.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use everpost_persistence::Position;
use rustc_hash::FxHashMap;

use super::id::TimerId;
use super::plan::Due;
use crate::base::clock::{Micros, Now, Steady};

/// The timers of a node, in the orders of both clocks. Bodies stay in the store; about 100 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Index {
    timers: FxHashMap<TimerId, Entry>,
    steady: BTreeSet<(Steady, TimerId)>,
    wall: BTreeSet<(Micros, TimerId)>,
    /// Due, and held back; in the order in which they are looked at again. Some of them may have been set anew since.
    held: VecDeque<TimerId>,
}

/// What is known of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) due: Due,
    /// The submission that set it.
    pub(crate) set: Position,
    /// Its record is in the store, as it is now, when this is durable.
    pub(crate) since: Position,
    /// Due, and held back because there is no room for its tick.
    pub(crate) is_held: bool,
}

/// What is to be done about timers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is none that will be due.
    Nothing,
    /// Nothing before so much time has passed.
    After(Duration),
    /// Some are due, and can be read when this is durable.
    Durable(Position),
    /// These are due and durable, the latest first.
    Fire(Vec<(TimerId, Entry)>),
}

impl Entry {
    /// Of a timer that this submission sets.
    pub(crate) fn new(due: Due, set: Position) -> Self {
        Self { due, set, since: set, is_held: false }
    }
}

impl Index {
    /// Sets a timer, in the place of one of the same name. Whether it is due before all others of its clock.
    pub(crate) fn set(&mut self, timer: TimerId, entry: Entry) -> bool {
        self.remove(timer);
        self.timers.insert(timer, entry);
        match entry.due {
            _ if entry.is_held => {
                self.held.push_back(timer);
                false
            }
            Due::Steady(due) => {
                self.steady.insert((due, timer));
                self.steady.first() == Some(&(due, timer))
            }
            Due::Wall(due) => {
                self.wall.insert((due, timer));
                self.wall.first() == Some(&(due, timer))
            }
            Due::Never => false,
        }
    }

    /// Takes a timer out. False when there is none.
    pub(crate) fn remove(&mut self, timer: TimerId) -> bool {
        let Some(entry) = self.timers.remove(&timer) else {
            return false;
        };
        match entry.due {
            Due::Steady(due) => self.steady.remove(&(due, timer)),
            Due::Wall(due) => self.wall.remove(&(due, timer)),
            Due::Never => false,
        };
        true
    }

    /// Looks again at some of those that are held back: these are due as before.
    pub(crate) fn look_again(&mut self, timers_max: usize) {
        for _ in 0..timers_max.min(self.held.len()) {
            let timer = self.held.pop_front().expect("as many are there");
            if let Some(entry) = self.get(timer).filter(|entry| entry.is_held) {
                self.set(timer, Entry { is_held: false, ..entry });
            }
        }
    }

    pub(crate) fn get(&self, timer: TimerId) -> Option<Entry> {
        self.timers.get(&timer).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether some are held back.
    pub(crate) fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether a timer is due.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.until_next(now) == Some(Duration::ZERO) || self.held.iter().any(|timer| self.timers.contains_key(timer))
    }

    /// What is to be done, of `timers_max` timers at most.
    pub(crate) fn next(&self, now: Now, durable: Position, timers_max: usize) -> Next {
        match self.until_next(now) {
            None => return Next::Nothing,
            Some(Duration::ZERO) => {}
            Some(wait) => return Next::After(wait),
        }
        let steady = self.steady.iter().take_while(|(due, _)| *due <= now.steady).take(timers_max);
        let wall = self.wall.iter().take_while(|(due, _)| *due <= now.wall).take(timers_max);
        let mut due: Vec<_> = steady.map(|&(due, timer)| (now.steady.since(due), timer)).collect();
        due.extend(wall.map(|&(due, timer)| (now.wall.since(due), timer)));
        // The order of each clock is kept.
        due.sort_by_key(|(late, _)| std::cmp::Reverse(*late));
        due.truncate(timers_max);
        let due = due.into_iter().map(|(_, timer)| (timer, self.timers[&timer]));
        let (ready, early): (Vec<_>, Vec<_>) = due.partition(|(_, entry)| entry.since <= durable);
        match early.iter().map(|(_, entry)| entry.since).min() {
            Some(since) if ready.is_empty() => Next::Durable(since),
            _ => Next::Fire(ready),
        }
    }

    /// How long it is until one is due.
    fn until_next(&self, now: Now) -> Option<Duration> {
        let steady = self.steady.first().map(|(due, _)| due.since(now.steady));
        let wall = self.wall.first().map(|(due, _)| due.since(now.wall));
        steady.into_iter().chain(wall).min()
    }
}

#[cfg(test)]
mod tests;
