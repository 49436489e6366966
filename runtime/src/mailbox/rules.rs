//! The rules of one mailbox: order, priority, what is visible, attempts, waiting and holding. Pure: no clock, no store,
//! no task; the tests run it against an oracle in virtual time.

pub(super) mod alternation;
mod bodies;
pub(super) mod doorbell;
mod holds;
mod level;
mod queue;
mod set_aside;
mod unusual;

use std::collections::BTreeMap;

use everpost_persistence::Position;

use self::level::{Level, Prospect, Sight};
pub(crate) use self::queue::Queue;
use self::unusual::Unusual;
use crate::base::clock::Steady;
use crate::message::priority::Priority;
use crate::record::attempts::Failures;

/// How many messages of one priority of one mailbox keep their bodies in memory, at most.
pub(crate) const WINDOW_MESSAGES: usize = 65_536;
/// The moment of a message aside that waits for something else than a moment: until [`Rules::release`].
pub(crate) const NEVER: Steady = Steady(u64::MAX);
/// How many bodies are read from the store at a time.
pub(crate) const LOAD_MESSAGES: usize = 256;

/// The order of one mailbox. `B` is the body of a message: cheap to clone.
#[derive(Debug)]
pub(crate) struct Rules<B> {
    normal: Level<B>,
    unusual: Option<Box<Unusual<B>>>,
    /// What is known of messages that failed before, or were set aside.
    failures: BTreeMap<Position, Failures>,
    in_flight: Option<Source>,
    last: Position,
    /// How many messages may be held at a time.
    holds_max: usize,
}

/// Where the message in flight waited; it stays there until it is decided what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Level(Queue),
    SetAside(Steady, Position),
}

/// What the mailbox lets happen next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<B> {
    /// Handle this message: `attempt` counts from 1.
    Deliver { position: Position, body: B, attempt: u32 },
    /// Read these bodies from the store and bring them by [`Rules::loaded`].
    Load(Vec<Position>),
    /// This message was held for too long: that is a failure.
    Overdue(Position),
    /// Wait until the store is durable up to here.
    Durable(Position),
    /// Wait until then: what could be next backs off, was set aside or is held.
    Until(Steady),
    /// Nothing waits.
    Empty,
}

/// A message that is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished<B> {
    pub(crate) position: Position,
    pub(crate) body: B,
    /// The store holds a record of its failures that must go with it.
    pub(crate) recorded: bool,
}

impl<B: Clone> Rules<B> {
    pub(crate) fn new(holds_max: usize) -> Self {
        Self {
            normal: Level::new(),
            unusual: None,
            failures: BTreeMap::new(),
            in_flight: None,
            last: Position(0),
            holds_max,
        }
    }

    /// Appends a message. Its body is kept when `keep` says that there is memory for it and the window has room.
    /// Returns whether it was kept.
    pub(crate) fn enqueued(&mut self, position: Position, queue: Queue, body: B, keep: bool) -> bool {
        self.grow(position);
        self.level_mut(queue).push(position, body, keep)
    }

    /// Appends a message that was found in the store at start.
    pub(crate) fn recovered(&mut self, position: Position, queue: Queue, failures: Option<Failures>) {
        self.grow(position);
        match &failures {
            Some(failures) if failures.aside => {
                let moment = failures.not_before;
                self.unusual_mut().aside.insert((moment, position), queue.is_for_holds, None);
            }
            _ => self.level_mut(queue).beyond.push_back(position),
        }
        if let Some(failures) = failures {
            self.failures.insert(position, failures);
        }
    }

    /// Decides what happens next. `now` is asked only if something else than a plain queue is looked at; `durable` is
    /// what the store has on disk, `early` whether messages are visible before they are there.
    pub(crate) fn next(&mut self, now: impl FnOnce() -> Steady, durable: Position, early: bool) -> Next<B> {
        assert!(self.in_flight.is_none(), "one message at a time");
        let sight = Sight { durable, early };
        if self.unusual.is_some() {
            return self.next_of_all(now(), sight);
        }
        match self.normal.prospect(&self.failures, now, sight) {
            Prospect::Ready => self.deliver(Queue::default()),
            Prospect::Load(positions) => Next::Load(positions),
            Prospect::Durable(position) => Next::Durable(position),
            Prospect::Until(moment) => Next::Until(moment),
            Prospect::Empty => Next::Empty,
        }
    }

    fn next_of_all(&mut self, now: Steady, sight: Sight) -> Next<B> {
        let unusual = self.unusual.as_deref().expect("asked only when there is one");
        if let Some(position) = unusual.overdue(now) {
            return Next::Overdue(position);
        }
        let may_hold = unusual.held.len() < self.holds_max;
        let mut until = unusual.next_moment(may_hold);
        let mut durable = None;
        let mut ready = [Queue::default(); Priority::COUNT];
        let mut ready_count = 0;
        for priority in Priority::DESCENDING {
            let Some((queue, level)) = self.first(priority, may_hold) else { continue };
            match level.prospect(&self.failures, || now, sight) {
                Prospect::Ready => {
                    ready[ready_count] = queue;
                    ready_count += 1;
                }
                Prospect::Load(positions) => return Next::Load(positions),
                Prospect::Durable(position) => durable = durable.max(Some(position)),
                Prospect::Until(moment) => {
                    // Only what is more urgent passes a message that backs off.
                    until = Some(until.map_or(moment, |until| until.min(moment)));
                    break;
                }
                Prospect::Empty => {}
            }
        }
        let unusual = self.unusual.as_deref_mut().expect("it was there before");
        if ready_count == 0 || !unusual.aside_was_last {
            match unusual.aside.first_due(now, may_hold) {
                Some(((_, position), None)) => return Next::Load(vec![position]),
                Some(((moment, position), Some(body))) => {
                    let body = body.clone();
                    unusual.aside_was_last = true;
                    self.in_flight = Some(Source::SetAside(moment, position));
                    return Next::Deliver { position, body, attempt: self.attempt(position) };
                }
                None => {}
            }
        }
        unusual.aside_was_last = false;
        match (unusual.choose(&ready[..ready_count]), durable, until) {
            (Some(queue), ..) => self.deliver(queue),
            (None, Some(position), _) => Next::Durable(position),
            (None, None, Some(moment)) => Next::Until(moment),
            (None, None, None) => Next::Empty,
        }
    }

    /// The queue of this priority whose head came first. Messages that are held are left out when no more may be: those
    /// that are handled by turns pass them.
    fn first(&self, priority: Priority, may_hold: bool) -> Option<(Queue, &Level<B>)> {
        let of = |queue: Queue| {
            let level = self.level(queue)?;
            Some((level.first()?, queue, level))
        };
        let for_holds = Some(Queue::for_holds(priority)).filter(|_| may_hold).and_then(of);
        let queues = of(Queue::for_turns(priority)).into_iter().chain(for_holds);
        queues.min_by_key(|(first, ..)| *first).map(|(_, queue, level)| (queue, level))
    }

    /// The head of this queue is in flight from here on.
    fn deliver(&mut self, queue: Queue) -> Next<B> {
        self.in_flight = Some(Source::Level(queue));
        let head = self.level(queue).and_then(Level::front).cloned();
        let (position, body) = head.expect("only what is there is ready");
        Next::Deliver { position, body, attempt: self.attempt(position) }
    }

    fn attempt(&self, position: Position) -> u32 {
        self.failures.get(&position).map_or(1, |failures| failures.attempts.saturating_add(1))
    }

    /// The message in flight is done: its turn, or its move to the dead letters, was submitted.
    pub(crate) fn finished(&mut self) -> Finished<B> {
        let (position, body) = self.take_out();
        let recorded = !self.failures.is_empty() && self.failures.remove(&position).is_some();
        self.drop_empty();
        Finished { position, body, recorded }
    }

    /// The message in flight goes back to where it was, without a counted attempt.
    pub(crate) fn interrupted(&mut self) {
        self.in_flight = None;
    }

    /// A message in flight or held has failed. Returns what is now known of it. The caller decides whether it is given
    /// up on ([`Rules::discard`]), postponed ([`Rules::postpone`]), or set aside ([`Rules::set_aside`]).
    pub(crate) fn failed(&mut self, position: Position, error: String, errors_max: usize) -> &Failures {
        let failures = self.failures.entry(position).or_default();
        failures.count(error, errors_max);
        failures
    }

    /// A message in flight is given up on for a reason that is no failed attempt. Returns what is now known of it.
    pub(crate) fn condemned(&mut self, position: Position, error: String, errors_max: usize) -> &Failures {
        let failures = self.failures.entry(position).or_default();
        failures.note(error, errors_max);
        failures
    }

    /// A message in flight or held is not delivered before that moment. It goes back to the head, and what is behind it
    /// waits too, unless it has left its queue before: then it is set aside again.
    pub(crate) fn postpone(&mut self, position: Position, until: Steady) {
        if self.has_left_its_queue(position) {
            self.set_aside(position, until);
        } else {
            self.in_flight = None;
            self.failures.entry(position).or_default().not_before = until;
        }
    }

    /// A message in flight or held waits beside its queue until that moment; others pass it.
    pub(crate) fn set_aside(&mut self, position: Position, until: Steady) {
        let held = self.unusual.as_deref_mut().and_then(|unusual| unusual.held.remove(&position));
        let is_for_holds = held.is_some() || self.is_in_flight_for_holds();
        let body = held.map_or_else(|| self.take_out().1, |held| held.body);
        let failures = self.failures.entry(position).or_default();
        failures.aside = true;
        failures.not_before = until;
        self.unusual_mut().aside.insert((until, position), is_for_holds, Some(body));
    }

    /// Lets a message go on that was set aside until now: it is delivered when it is its turn again.
    pub(crate) fn release(&mut self, position: Position) {
        let Some(unusual) = self.unusual.as_deref_mut() else { return };
        let is_for_holds = unusual.aside.is_for_holds((NEVER, position));
        if let Some(body) = unusual.aside.remove((NEVER, position)) {
            unusual.aside.insert((Steady(0), position), is_for_holds, body);
            self.failures.entry(position).or_default().not_before = Steady(0);
        }
    }

    /// Whether a failed message goes aside in any case: it has left its queue already.
    pub(crate) fn has_left_its_queue(&self, position: Position) -> bool {
        matches!(self.in_flight, Some(Source::SetAside(_, in_flight)) if in_flight == position)
            || self.is_held(position)
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

    /// Whether this message runs alone until it has ended.
    pub(crate) fn is_tried_to_the_end(&self, position: Position) -> bool {
        self.failures.get(&position).is_some_and(Failures::is_tried_to_the_end)
    }

    /// The suspicion is dropped: the message is delivered like any other.
    pub(crate) fn clear_suspect(&mut self, position: Position) -> Option<&Failures> {
        let failures = self.failures.get_mut(&position)?;
        failures.alone = false;
        Some(failures)
    }

    /// Takes out a message that is given up on or was acknowledged by its holder, wherever it is. Returns its body if
    /// that was in memory.
    pub(crate) fn discard(&mut self, position: Position) -> Option<B> {
        if self.in_flight().is_some_and(|(in_flight, _)| in_flight == position) {
            return Some(self.finished().body);
        }
        let failures = self.failures.remove(&position);
        let mut removed = self.normal.remove(position);
        if let Some(unusual) = self.unusual.as_deref_mut().filter(|_| removed.is_none()) {
            let aside = failures.filter(|failures| failures.aside).map(|failures| (failures.not_before, position));
            removed = aside
                .and_then(|due| unusual.aside.remove(due))
                .or_else(|| unusual.held.remove(&position).map(|held| Some(held.body)))
                .or_else(|| unusual.levels_mut().find_map(|level| level.remove(position)));
            self.drop_empty();
        }
        removed.flatten()
    }

    /// Takes out messages that are here, in ascending order, wherever they are: as [`Rules::discard`] does one, but
    /// going through long queues once for all. Tells each, its body if that was in memory, and whether the store has a
    /// record of its failures.
    pub(crate) fn discard_all(&mut self, positions: &[Position], mut gone: impl FnMut(Position, Option<B>, bool)) {
        let in_flight = self.in_flight().map(|(position, _)| position);
        let (mut queued, mut others) = (Vec::with_capacity(positions.len()), Vec::new());
        for &position in positions {
            let is_aside = self.failures.get(&position).is_some_and(|failures| failures.aside);
            let is_queued = in_flight != Some(position) && !is_aside && !self.is_held(position);
            if is_queued { queued.push(position) } else { others.push(position) }
        }
        for position in others {
            let recorded = self.failures.contains_key(&position);
            let body = self.discard(position);
            gone(position, body, recorded);
        }
        let Self { normal, unusual, failures, .. } = self;
        let unusual = unusual.as_deref_mut().into_iter().flat_map(Unusual::levels_mut);
        for level in [normal].into_iter().chain(unusual) {
            level.remove_all(&queued, |position, body| {
                let recorded = !failures.is_empty() && failures.remove(&position).is_some();
                gone(position, body, recorded);
            });
        }
        self.drop_empty();
    }

    /// What is known of a message that failed before or was set aside.
    pub(crate) fn failures(&self, position: Position) -> Option<&Failures> {
        self.failures.get(&position)
    }

    /// Whether this message cannot be next for a while: it, or what is before it, backs off, was set aside or is held.
    pub(crate) fn is_held_back(&self, position: Position, now: Steady) -> bool {
        let may_hold = !self.holds_are_full();
        if let Some(failures) = self.failures.get(&position).filter(|failures| failures.aside) {
            let due = (failures.not_before, position);
            let is_for_holds = self.unusual.as_deref().is_some_and(|unusual| unusual.aside.is_for_holds(due));
            return failures.not_before > now || (is_for_holds && !may_hold);
        }
        let of = |queue: &Queue| self.level(*queue).is_some_and(|level| level.contains(position));
        let own = Queue::all().find(of).unwrap_or_default();
        if self.is_held(position) || (own.is_for_holds && !may_hold) {
            return true;
        }
        let mut before = Priority::DESCENDING.into_iter().filter(|priority| *priority >= own.priority);
        before.any(|priority| {
            self.first(priority, may_hold).is_some_and(|(_, level)| level.backs_off(&self.failures, now))
        })
    }

    /// Whether what would be next backs off, so that nothing is handled before, unless it is more urgent. `now` is
    /// asked only if something failed before.
    pub(crate) fn backs_off(&self, now: impl FnOnce() -> Steady) -> bool {
        if self.failures.is_empty() {
            return false;
        }
        let may_hold = !self.holds_are_full();
        let next = Priority::DESCENDING.into_iter().find_map(|priority| self.first(priority, may_hold));
        next.is_some_and(|(_, level)| level.backs_off(&self.failures, now()))
    }

    /// Whether messages may be delivered in another order than that of their positions.
    pub(crate) fn is_reordered(&self) -> bool {
        self.unusual.is_some()
    }

    /// All messages: those that wait, are held or in flight, in no order, with the bodies that are in memory.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Position, Option<&B>)> {
        let levels = || Queue::all().filter_map(|queue| self.level(queue));
        let windows = levels().flat_map(|level| level.window.iter().map(|(position, body)| (*position, Some(body))));
        let beyond = levels().flat_map(|level| level.beyond.iter().map(|position| (*position, None)));
        let unusual = self.unusual.as_deref();
        let held =
            unusual.into_iter().flat_map(|unusual| unusual.held.iter().map(|(at, held)| (*at, Some(&held.body))));
        let aside = unusual.into_iter().flat_map(|unusual| unusual.aside.iter());
        windows.chain(held).chain(aside).chain(beyond)
    }

    /// The message in flight with its body, if there is one.
    pub(crate) fn in_flight(&self) -> Option<(Position, &B)> {
        match self.in_flight? {
            Source::Level(queue) => {
                let head = self.level(queue).and_then(Level::front);
                head.map(|(position, body)| (*position, body))
            }
            Source::SetAside(moment, position) => {
                let body = self.unusual.as_deref()?.aside.get((moment, position))?.as_ref()?;
                Some((position, body))
            }
        }
    }

    /// The body of a message that is in flight or held.
    pub(crate) fn taken(&self, position: Position) -> Option<&B> {
        let in_flight = self.in_flight().filter(|(in_flight, _)| *in_flight == position).map(|(_, body)| body);
        in_flight.or_else(|| Some(&self.unusual.as_deref()?.held.get(&position)?.body))
    }

    pub(crate) fn contains(&self, position: Position) -> bool {
        let is_aside = || {
            let failures = self.failures.get(&position).filter(|failures| failures.aside);
            let unusual = self.unusual.as_deref();
            let key = failures.map(|failures| (failures.not_before, position));
            key.zip(unusual).is_some_and(|(key, unusual)| unusual.aside.contains(key))
        };
        let of = |queue: Queue| self.level(queue).is_some_and(|level| level.contains(position));
        Queue::all().any(of) || self.is_held(position) || is_aside()
    }

    pub(crate) fn len(&self) -> usize {
        self.normal.len() + self.unusual.as_deref().map_or(0, Unusual::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.normal.is_empty() && self.unusual.is_none()
    }

    fn grow(&mut self, position: Position) {
        assert!(self.last < position, "positions grow within a mailbox");
        self.last = position;
    }

    /// Takes the message in flight from where it waited.
    fn take_out(&mut self) -> (Position, B) {
        match self.in_flight.take().expect("a message is in flight") {
            Source::Level(queue) => self.level_mut(queue).pop_front().expect("the message in flight is the head"),
            Source::SetAside(moment, position) => {
                let body = self.unusual.as_deref_mut().and_then(|unusual| unusual.aside.remove((moment, position)));
                (position, body.flatten().expect("what was delivered from aside is there, with its body"))
            }
        }
    }

    /// Whether the message in flight is one that is held.
    fn is_in_flight_for_holds(&self) -> bool {
        match self.in_flight {
            Some(Source::Level(queue)) => queue.is_for_holds,
            Some(Source::SetAside(moment, position)) => {
                self.unusual.as_deref().is_some_and(|unusual| unusual.aside.is_for_holds((moment, position)))
            }
            None => false,
        }
    }

    fn drop_empty(&mut self) {
        if self.unusual.as_deref().is_some_and(|unusual| unusual.len() == 0) {
            self.unusual = None;
        }
    }

    fn unusual_mut(&mut self) -> &mut Unusual<B> {
        self.unusual.get_or_insert_with(|| Box::new(Unusual::new()))
    }

    fn level(&self, queue: Queue) -> Option<&Level<B>> {
        if queue == Queue::default() { Some(&self.normal) } else { self.unusual.as_deref()?.level(queue) }
    }

    fn level_mut(&mut self, queue: Queue) -> &mut Level<B> {
        if queue == Queue::default() {
            return &mut self.normal;
        }
        self.unusual_mut().level_mut(queue).expect("all queues but the ordinary one are there")
    }
}
#[cfg(test)]
mod tests;
