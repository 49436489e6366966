//! What is under way with one child of a group.

use super::{Incarnation, Terms};
use crate::base::clock::Steady;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) terms: Terms,
    pub(super) state: State,
    incarnation: Incarnation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is to be started: not before this moment, not before this note is written, and, unless it is restarted alone,
    /// not before those in front of it have started.
    Waiting { not_before: Steady, note: u64, alone: bool },
    /// It runs, and does not count as started yet. None: it is not killed for being late, or that was done.
    Starting { until: Option<Steady> },
    /// It runs.
    Running,
    /// It was asked to stop. None: it is not killed for being late, or that was done.
    Stopping { until: Option<Steady> },
    /// It does not run.
    Gone,
}

impl Member {
    pub(super) fn new(terms: Terms) -> Self {
        let state = State::Waiting { not_before: Steady(0), note: 0, alone: false };
        Self { terms, state, incarnation: Incarnation::default() }
    }

    pub(super) fn start(&mut self, now: Steady) -> Incarnation {
        assert!(!self.is_live(), "a child runs once at a time");
        self.incarnation.0 += 1;
        self.state = State::Starting { until: self.terms.ready_within.map(|duration| now.plus(duration)) };
        self.incarnation
    }

    pub(super) fn ready(&mut self, incarnation: Incarnation) {
        if incarnation == self.incarnation && matches!(self.state, State::Starting { .. }) {
            self.state = State::Running;
        }
    }

    /// Whether it is to be asked to stop now; it is asked once.
    pub(super) fn stop(&mut self, now: Steady) -> bool {
        let is_new = matches!(self.state, State::Starting { .. } | State::Running);
        if is_new {
            self.state = State::Stopping { until: self.terms.stop_within.map(|duration| now.plus(duration)) };
        }
        is_new
    }

    /// Whether it is to be killed now; it is killed once.
    pub(super) fn is_late(&mut self, now: Steady) -> bool {
        match &mut self.state {
            State::Starting { until } | State::Stopping { until } => until.take_if(|until| *until <= now).is_some(),
            State::Waiting { .. } | State::Running | State::Gone => false,
        }
    }

    /// It has ended; false when that is no news.
    pub(super) fn gone(&mut self, incarnation: Incarnation) -> bool {
        let is_news = incarnation == self.incarnation && self.is_live();
        if is_news {
            self.state = State::Gone;
        }
        is_news
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Running | State::Stopping { .. })
    }

    pub(super) fn was_never_started(&self) -> bool {
        self.incarnation == Incarnation::default()
    }

    /// When something is due, if nothing happens before.
    pub(super) fn moment(&self) -> Option<Steady> {
        match self.state {
            State::Waiting { not_before, .. } => Some(not_before),
            State::Starting { until } | State::Stopping { until } => until,
            State::Running | State::Gone => None,
        }
    }
}
