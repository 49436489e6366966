//! The rules of one group: who is started, stopped and killed when, and when the group gives up. Pure: moments and
//! random numbers are handed in, and what is to be done comes out as data. It knows no task, no name and no store.

mod member;
mod note;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::member::{Member, State};
use self::note::Note;
use super::strategy::{Restart, Strategy};
use crate::base::clock::Steady;
use crate::base::rules::backoff::Backoff;
use crate::record::budget::{Budget, Restarts, Verdict};

/// Which child, by its place in the order of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(pub(super) usize);

/// How often a child was started, this time included. What is said of an earlier one is too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Incarnation(pub(super) u64);

/// What the rules must know of a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) restart: Restart,
    /// How long it may take until it says that it is ready. None: as long as it takes.
    pub(super) ready_within: Option<Duration>,
    /// How long it may take to stop. None: as long as it takes.
    pub(super) stop_within: Option<Duration>,
}

/// What has happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The group is to start.
    Begin,
    /// A child says that it is ready.
    Ready(Place, Incarnation),
    /// A child has ended, and nothing of it runs any more.
    Ended(Place, Incarnation, End),
    /// What was to be noted is durable.
    Noted,
    /// What was to be noted could not be.
    NotNoted,
    /// It is the moment that [`Rules::wake_at`] has named, or later.
    Tick,
    /// The group is to stop.
    Stop,
    /// The group is to end without waiting for anybody's good will.
    Kill,
}

/// How a child has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was done.
    Done,
    /// It failed, and why.
    Failed(String),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start this child.
    Start(Place, Incarnation),
    /// Ask it to stop.
    Stop(Place),
    /// End it where it stands.
    Kill(Place),
    /// Store the restarts that count, durably. The budgets of groups in these places begin anew.
    Note { moments: Vec<Steady>, anew: Vec<Place> },
    /// The note that is being written is not waited for any longer; say how far it came.
    DropNote,
    /// Every child has been started once.
    Started,
    /// Nothing runs any more, and nothing will.
    End(Ending),
}

/// Why a group has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was told to.
    Stopped,
    /// Its budget is spent: the last straw was this child, and why.
    Spent(Place, String),
    /// A restart could not be noted.
    NotNoted,
}

/// The children of a group, and what is under way with them.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    strategy: Strategy,
    budget: Budget,
    backoff: Backoff,
    members: Vec<Member>,
    restarts: Restarts,
    note: Note,
    sweep: Option<Sweep>,
    /// The moment of the last event.
    looked_at: Steady,
    begun: bool,
    started: bool,
    ended: bool,
}

/// Children are being stopped, one after another, the last one first.
#[derive(Clone, Debug)]
struct Sweep {
    /// The first one that is to stop; all after it are too.
    from: usize,
    then: Then,
}

#[derive(Clone, Debug)]
enum Then {
    /// They start again, not before this moment.
    Restart(Steady),
    /// The group ends.
    End(Ending),
}

impl Rules {
    pub(super) fn new(
        strategy: Strategy,
        budget: Budget,
        backoff: Backoff,
        children: impl IntoIterator<Item = Terms>,
        restarts: Restarts,
    ) -> Self {
        Self {
            strategy,
            budget,
            backoff,
            members: children.into_iter().map(Member::new).collect(),
            restarts,
            note: Note::default(),
            sweep: None,
            looked_at: Steady(0),
            begun: false,
            started: false,
            ended: false,
        }
    }

    /// Takes in what has happened, and says what is to be done. `random` spreads a wait before a restart.
    pub(super) fn handle(&mut self, now: Steady, event: Event, random: u32) -> Vec<Action> {
        let mut actions = Vec::new();
        self.looked_at = now;
        if self.ended {
            return actions;
        }
        match event {
            Event::Begin => self.begun = true,
            Event::Ready(place, incarnation) => self.members[place.0].ready(incarnation),
            Event::Ended(place, incarnation, end) => self.child_ended(now, place, incarnation, end, random),
            Event::Noted => self.note.written(),
            Event::NotNoted => {
                self.note.failed();
                self.end(Ending::NotNoted);
            }
            Event::Tick => {}
            Event::Stop => self.end(Ending::Stopped),
            Event::Kill => {
                self.end(Ending::Stopped);
                self.kill_all(&mut actions);
            }
        }
        // With every event: the tick may be late, and another one before it.
        self.look_at_deadlines(now, &mut actions);
        self.go_on(now, &mut actions);
        actions
    }

    /// The next moment at which there is something to do although nothing has happened. It may have passed by the time
    /// that this is asked.
    pub(super) fn wake_at(&self) -> Option<Steady> {
        // Those before were looked at; what still waits then, waits for something else.
        self.members.iter().filter_map(Member::moment).filter(|moment| *moment > self.looked_at).min()
    }

    fn child_ended(&mut self, now: Steady, place: Place, incarnation: Incarnation, end: End, random: u32) {
        if !self.members[place.0].gone(incarnation) || self.is_swept(place) {
            return;
        }
        let error = match (self.members[place.0].terms.restart, end) {
            (Restart::Temporary, _) | (Restart::Transient, End::Done) => return,
            (Restart::Permanent, End::Done) => "it ended, although it is permanent".to_owned(),
            (Restart::Permanent | Restart::Transient, End::Failed(error)) => error,
        };
        if self.restarts.count(now, &self.budget) == Verdict::Spent {
            return self.end(Ending::Spent(place, error));
        }
        let failures = u32::try_from(self.restarts.moments().len()).unwrap_or(u32::MAX);
        let not_before = now.plus(self.backoff.delay(failures, random));
        match self.strategy {
            Strategy::OneForOne => {
                let note = self.note.want([place]);
                self.members[place.0].state = State::Waiting { not_before, note, alone: true };
            }
            Strategy::OneForAll => self.sweep_from(0, not_before),
            Strategy::RestForOne => self.sweep_from(place.0, not_before),
        }
    }

    fn is_swept(&self, place: Place) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.from <= place.0)
    }

    /// Everybody from `from` on is to be stopped, and started again. One that does so already is widened.
    fn sweep_from(&mut self, from: usize, not_before: Steady) {
        let (from, not_before) = match &self.sweep {
            Some(Sweep { from: other, then: Then::Restart(moment) }) => (from.min(*other), not_before.max(*moment)),
            _ => (from, not_before),
        };
        self.sweep = Some(Sweep { from, then: Then::Restart(not_before) });
    }

    /// The group is to end; the first reason stays.
    fn end(&mut self, ending: Ending) {
        if !matches!(&self.sweep, Some(Sweep { then: Then::End(_), .. })) {
            self.sweep = Some(Sweep { from: 0, then: Then::End(ending) });
        }
    }

    fn look_at_deadlines(&mut self, now: Steady, actions: &mut Vec<Action>) {
        for (place, member) in self.members.iter_mut().enumerate() {
            if member.is_late(now) {
                actions.push(Action::Kill(Place(place)));
            }
        }
    }

    fn kill_all(&mut self, actions: &mut Vec<Action>) {
        for (place, member) in self.members.iter_mut().enumerate().rev().filter(|(_, member)| member.is_live()) {
            member.state = State::Stopping { until: None };
            actions.push(Action::Kill(Place(place)));
        }
    }

    /// Does what can be done now.
    fn go_on(&mut self, now: Steady, actions: &mut Vec<Action>) {
        if let Some(sweep) = self.sweep.take() {
            self.sweep(now, sweep, actions);
        }
        if let Some(Sweep { then: Then::End(_), .. }) = self.sweep {
            // Nobody is started again, so nothing is to be noted.
            actions.extend(self.note.drop());
        } else if !self.ended && self.begun {
            actions.extend(self.note.begin(self.restarts.moments()));
            self.start(now, actions);
        }
    }

    /// Stops the next one, or ends the sweep when all are gone.
    fn sweep(&mut self, now: Steady, sweep: Sweep, actions: &mut Vec<Action>) {
        let live = self.members.iter_mut().enumerate().skip(sweep.from).rev().find(|(_, member)| member.is_live());
        if let Some((place, member)) = live {
            if member.stop(now) {
                actions.push(Action::Stop(Place(place)));
            }
            self.sweep = Some(sweep);
            return;
        }
        match sweep.then {
            Then::Restart(not_before) => self.line_up(sweep.from, not_before),
            Then::End(_) if self.note.is_under_way() => self.sweep = Some(sweep),
            Then::End(ending) => {
                self.ended = true;
                actions.push(Action::End(ending));
            }
        }
    }

    /// Everybody from `from` on is to be started again, in order.
    fn line_up(&mut self, from: usize, not_before: Steady) {
        let again = |member: &Member| member.terms.restart != Restart::Temporary || member.was_never_started();
        let swept = self.members.iter().enumerate().skip(from);
        let places: Vec<Place> = swept.filter(|(_, member)| again(member)).map(|(place, _)| Place(place)).collect();
        let note = self.note.want(places.iter().copied());
        for Place(place) in places {
            self.members[place].state = State::Waiting { not_before, note, alone: false };
        }
    }

    /// Starts whoever may start: in order, each when those before it have started; one that is restarted alone waits
    /// for nobody.
    fn start(&mut self, now: Steady, actions: &mut Vec<Action>) {
        let end = self.sweep.as_ref().map_or(self.members.len(), |sweep| sweep.from);
        let mut held_up = false;
        for (place, member) in self.members.iter_mut().enumerate().take(end) {
            if let State::Waiting { not_before, note, alone } = member.state
                && not_before <= now
                && self.note.is_written(note)
                && (alone || !held_up)
            {
                actions.push(Action::Start(Place(place), member.start(now)));
            }
            held_up |= matches!(member.state, State::Waiting { .. } | State::Starting { .. });
        }
        if !held_up && self.sweep.is_none() && !self.started {
            self.started = true;
            actions.push(Action::Started);
        }
    }
}
