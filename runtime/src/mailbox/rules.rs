//! The rules of one mailbox: order, what is visible, attempts and waiting. Pure: no clock, no store, no task; the tests
//! run it against an oracle in virtual time.
//!
//! Messages wait in two queues. The front one holds bodies, so that the next turns need no disk; what does not fit is
//! an 8-byte position in the back one, and its body is read from the store when its turn comes near.

use std::collections::{BTreeMap, VecDeque};

use everpost_persistence::Position;

use crate::clock::Micros;

/// How many messages of one mailbox keep their bodies in memory, at most.
pub(crate) const WINDOW_MESSAGES: usize = 65_536;
/// How many bodies are read from the store at a time.
pub(crate) const LOAD_MESSAGES: usize = 256;

/// The order of one mailbox. `B` is the body of a message: cheap to clone.
#[derive(Debug)]
pub(crate) struct Rules<B> {
    window: VecDeque<(Position, B)>,
    /// Behind the window, in order; bodies are in the store only.
    beyond: VecDeque<Position>,
    /// What is known of messages that failed before.
    failures: BTreeMap<Position, Failures>,
    /// The head of the window is being handled.
    in_hand: bool,
}

/// What happened to a message so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) attempts: u32,
    pub(crate) not_before: Micros,
    /// One line for each failure, newest last; bounded by the caller.
    pub(crate) errors: Vec<String>,
    /// It is run alone, because the process may have died of it.
    pub(crate) alone: bool,
}

/// What the mailbox lets happen next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<B> {
    /// Handle this message: `attempt` counts from 1.
    Deliver { position: Position, body: B, attempt: u32 },
    /// Read these bodies from the store and bring them by [`Rules::loaded`].
    Load(Vec<Position>),
    /// Wait until the store is durable up to here.
    Durable(Position),
    /// Wait until then: the head backs off, and strict order holds back what is behind it.
    Until(Micros),
    /// Nothing waits.
    Empty,
}

impl<B: Clone> Rules<B> {
    pub(crate) fn new() -> Self {
        Self { window: VecDeque::new(), beyond: VecDeque::new(), failures: BTreeMap::new(), in_hand: false }
    }

    /// Appends a message. Its body is kept when `keep` says that there is memory for it and the window has room.
    /// Returns whether it was kept.
    pub(crate) fn enqueued(&mut self, position: Position, body: B, keep: bool) -> bool {
        assert!(self.last() < Some(position), "positions grow within a mailbox");
        let kept = keep && self.beyond.is_empty() && self.window.len() < WINDOW_MESSAGES;
        if kept {
            self.window.push_back((position, body));
        } else {
            self.beyond.push_back(position);
        }
        kept
    }

    /// Appends a message that was found in the store at start.
    pub(crate) fn recovered(&mut self, position: Position, failures: Option<Failures>) {
        assert!(self.last() < Some(position), "positions grow within a mailbox");
        self.beyond.push_back(position);
        if let Some(failures) = failures {
            self.failures.insert(position, failures);
        }
    }

    /// Decides what happens next. `now` is asked only if a message failed before; `durable` is what the store has on disk, `early` whether messages are visible before
    /// they are there.
    pub(crate) fn next(&mut self, now: impl FnOnce() -> Micros, durable: Position, early: bool) -> Next<B> {
        assert!(!self.in_hand, "one message at a time");
        let Some((position, body)) = self.window.front() else {
            return self.load(durable);
        };
        if !early && *position > durable {
            return Next::Durable(*position);
        }
        let attempt = match self.failures.get(position) {
            Some(failures) if failures.not_before > now() => return Next::Until(failures.not_before),
            Some(failures) => failures.attempts + 1,
            None => 1,
        };
        self.in_hand = true;
        Next::Deliver { position: *position, body: body.clone(), attempt }
    }

    /// A body is read only once it is durable, whatever the delivery: before that it is not in the store.
    fn load(&self, durable: Position) -> Next<B> {
        match self.beyond.front() {
            None => Next::Empty,
            Some(first) if *first > durable => Next::Durable(*first),
            Some(_) => {
                let ready = self.beyond.iter().take(LOAD_MESSAGES).take_while(|position| **position <= durable);
                Next::Load(ready.copied().collect())
            }
        }
    }

    /// Brings the bodies that [`Next::Load`] asked for, in the same order.
    pub(crate) fn loaded(&mut self, bodies: impl IntoIterator<Item = B>) {
        for body in bodies {
            let position = self.beyond.pop_front().expect("only what was asked for is loaded");
            self.window.push_back((position, body));
        }
        if self.beyond.len() < self.beyond.capacity() / 4 {
            self.beyond.shrink_to(self.beyond.len() * 2);
        }
    }

    /// The message in hand is done: its turn, or its move to the dead letters, was submitted. Returns its body, and
    /// whether the store holds a record of its failures that must go with it.
    pub(crate) fn finished(&mut self) -> (Position, B, bool) {
        assert!(std::mem::take(&mut self.in_hand), "a message is in hand");
        let (position, body) = self.window.pop_front().expect("the message in hand is the head");
        let recorded = !self.failures.is_empty() && self.failures.remove(&position).is_some();
        (position, body, recorded)
    }

    /// The message in hand goes back to the head, without a counted attempt.
    pub(crate) fn interrupted(&mut self) {
        self.in_hand = false;
    }

    /// The message in hand failed. Returns what is now known of it. The caller decides whether it is given up on
    /// ([`Rules::finished`]) or goes back to the head ([`Rules::interrupted`]).
    pub(crate) fn failed(&mut self, error: String, errors_max: usize) -> &mut Failures {
        assert!(self.in_hand, "a message is in hand");
        let (position, _) = self.window.front().expect("the message in hand is the head");
        let failures = self.failures.entry(*position).or_default();
        failures.attempts += 1;
        failures.alone = false;
        failures.errors.push(error);
        if failures.errors.len() > errors_max {
            failures.errors.remove(0);
        }
        failures
    }

    /// Marks a waiting message: it is to run alone.
    pub(crate) fn single_out(&mut self, position: Position, failures: Failures) {
        assert!(self.contains(position), "only a waiting message can be singled out");
        self.failures.insert(position, Failures { alone: true, ..failures });
    }

    /// Whether this message waits for its trial, or is on it.
    pub(crate) fn is_suspect(&self, position: Position) -> bool {
        self.failures.get(&position).is_some_and(|failures| failures.alone)
    }

    /// The suspicion is dropped: the message is delivered like any other.
    pub(crate) fn acquit(&mut self, position: Position) -> Option<&Failures> {
        let failures = self.failures.get_mut(&position)?;
        failures.alone = false;
        Some(failures)
    }

    /// Takes out a message that is given up on, whether it is in hand or waits. Returns its body if that was in memory.
    pub(crate) fn discard(&mut self, position: Position) -> Option<B> {
        self.failures.remove(&position);
        if self.window.front().is_some_and(|(head, _)| *head == position) {
            self.in_hand = false;
            return self.window.pop_front().map(|(_, body)| body);
        }
        if let Ok(index) = self.window.binary_search_by_key(&position, |(waiting, _)| *waiting) {
            return self.window.remove(index).map(|(_, body)| body);
        }
        self.beyond.retain(|waiting| *waiting != position);
        None
    }

    /// Whether the head waits for its next attempt.
    pub(crate) fn backs_off(&self, now: Micros) -> bool {
        let head = self.window.front().map(|(position, _)| position).or_else(|| self.beyond.front());
        head.and_then(|head| self.failures.get(head)).is_some_and(|failures| failures.not_before > now)
    }

    /// The first message in memory whose body is the one that is looked for, and the positions of those that are in the store
    /// only.
    pub(crate) fn find(&self, is_it: impl Fn(&B) -> bool) -> (Option<Position>, Vec<Position>) {
        let found = self.window.iter().find(|(_, body)| is_it(body)).map(|(position, _)| *position);
        let beyond = if found.is_some() { Vec::new() } else { self.beyond.iter().copied().collect() };
        (found, beyond)
    }

    /// The message in hand with its body, if there is one.
    pub(crate) fn in_hand(&self) -> Option<(Position, &B)> {
        let head = self.window.front().filter(|_| self.in_hand);
        head.map(|(position, body)| (*position, body))
    }

    pub(crate) fn contains(&self, position: Position) -> bool {
        self.window.binary_search_by_key(&position, |(position, _)| *position).is_ok()
            || self.beyond.binary_search(&position).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.window.len() + self.beyond.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.window.is_empty() && self.beyond.is_empty()
    }

    fn last(&self) -> Option<Position> {
        let window = self.window.back().map(|(position, _)| *position);
        self.beyond.back().copied().or(window)
    }
}

#[cfg(test)]
mod tests;
