//! What becomes of a timer that fires.

use bytes::Bytes;
use everpost_persistence::{Position, Stage};

use super::id::TimerId;
use super::index::Entry;
use super::plan::Due;
use super::{KeptTimers, TimersInStep};

/// A timer that fires, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Tick {
    pub(crate) timer: TimerId,
    /// What was known when this was made: nothing of it holds if that has changed.
    pub(crate) entry: Entry,
    pub(crate) then: Then,
}

/// What becomes of a timer.
#[derive(Debug)]
pub(crate) enum Then {
    /// It is due again, and this is its record then.
    Again(Due, Bytes),
    /// It has done all.
    Gone,
    /// Nothing: the tick was asked for, and comes on top.
    AsItIs,
}

impl Tick {
    /// Whether the timer is gone afterwards.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.then, Then::Gone)
    }

    /// Puts what becomes of the timer into the submission.
    pub(crate) fn stage(&self, stage: &mut Stage<'_>) {
        match &self.then {
            Then::Again(_, record) => stage.put(self.timer.key(), record.clone()),
            Then::Gone => stage.delete(self.timer.key()),
            Then::AsItIs => {}
        }
    }

    /// The bytes of its record.
    pub(crate) fn bytes(&self) -> usize {
        if let Then::Again(_, record) = &self.then { record.len() } else { 0 }
    }
}

impl KeptTimers {
    /// A timer that cannot fire is kept, and can be cancelled; it is tried again after the next start. False for one
    /// that was cancelled or set anew while it was read.
    pub(crate) fn set_apart(&self, timer: TimerId, entry: Entry) -> bool {
        let mut state = self.lock();
        let is_there = state.index.get(timer) == Some(entry);
        if is_there {
            state.index.set(timer, Entry { due: Due::Never, ..entry });
        }
        is_there
    }

    /// There is no room for what these would send.
    pub(crate) fn hold_back(&self, timers: Vec<(TimerId, Entry)>) {
        let mut state = self.lock();
        for (timer, entry) in timers {
            if state.index.get(timer) == Some(entry) {
                state.index.set(timer, Entry { is_held: true, ..entry });
            }
        }
    }
}

impl TimersInStep<'_> {
    /// Whether the timer is as it was when this was made: neither cancelled nor set anew.
    pub(crate) fn is_unchanged(&mut self, tick: &Tick) -> bool {
        let now = self.state().index.get(tick.timer);
        match tick.then {
            // That it has fired meanwhile does not matter.
            Then::AsItIs => now.is_some_and(|entry| entry.set == tick.entry.set),
            Then::Again(..) | Then::Gone => now == Some(tick.entry),
        }
    }

    /// What these timers do was submitted.
    pub(crate) fn fired<'t>(&mut self, ticks: impl Iterator<Item = &'t Tick>, ticket: Position) {
        let state = self.state();
        state.last_submitted = ticket;
        for Tick { timer, entry, then } in ticks {
            match then {
                Then::Again(due, _) => {
                    state.index.set(*timer, Entry { due: *due, since: ticket, ..*entry });
                }
                Then::Gone => state.remove(*timer),
                Then::AsItIs => {}
            }
        }
    }
}
