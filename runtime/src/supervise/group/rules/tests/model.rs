//! A group whose children do what a test says, and that checks every action against what may be.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// What a test lets happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Fails(usize),
    IsDone(usize),
    IsReady(usize),
    NoteIsWritten,
    NoteFails,
    /// Until something is due, which is heard of.
    TimePasses,
    /// Past the moment at which something is due, before that is heard of.
    TimeIsLost,
    /// Something is heard of an incarnation that is gone.
    OldNews(usize),
    Stop,
    Kill,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    rules: Rules,
    terms: Vec<Terms>,
    strategy: Strategy,
    budget: Budget,
    pub(super) now: Steady,
    pub(super) random: u32,
    live: BTreeMap<Place, Child>,
    started: BTreeMap<Place, (Incarnation, Steady)>,
    /// Those that will not be started again but with others.
    resting: BTreeSet<Place>,
    under_way: Option<Vec<Steady>>,
    noted: BTreeSet<Steady>,
    pub(super) ending: Option<Ending>,
    is_ending: bool,
}

#[derive(Clone, Debug)]
struct Child {
    incarnation: Incarnation,
    ready: bool,
    asked: bool,
    killed: bool,
    /// When it is to be killed.
    deadline: Option<Steady>,
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// One that is ready as soon as it is started.
pub(super) fn at_once(restart: Restart) -> Terms {
    Terms { restart, ready_within: None, stop_within: Some(5 * SECOND) }
}

pub(super) fn when_ready(restart: Restart) -> Terms {
    Terms { ready_within: Some(10 * SECOND), ..at_once(restart) }
}

impl Group {
    pub(super) fn new(strategy: Strategy, budget: Budget, terms: &[Terms]) -> Self {
        Self::with_restarts(strategy, budget, terms, &[])
    }

    pub(super) fn with_restarts(strategy: Strategy, budget: Budget, terms: &[Terms], restarts: &[Steady]) -> Self {
        let backoff = Backoff { first: SECOND / 10, cap: SECOND };
        let restarts = Restarts::new(restarts.to_vec());
        Self {
            rules: Rules::new(strategy, budget, backoff, terms.iter().copied(), restarts),
            terms: terms.to_vec(),
            strategy,
            budget,
            now: Steady(1_000_000_000),
            random: u32::MAX,
            live: BTreeMap::new(),
            started: BTreeMap::new(),
            resting: BTreeSet::new(),
            under_way: None,
            noted: BTreeSet::new(),
            ending: None,
            is_ending: false,
        }
    }

    pub(super) fn begin(&mut self) -> Vec<Action> {
        self.handle(Event::Begin)
    }

    /// Lets `step` happen; does nothing if it cannot.
    pub(super) fn step(&mut self, step: Step) -> Vec<Action> {
        let event = match step {
            Step::Fails(place) => self.ends(place, End::Failed(format!("child {place} failed"))),
            Step::IsDone(place) => self.ends(place, End::Done),
            Step::IsReady(place) => self.live.get_mut(&Place(place)).filter(|child| !child.ready).map(|child| {
                child.ready = true;
                child.deadline = child.deadline.take_if(|_| child.asked);
                Event::Ready(Place(place), child.incarnation)
            }),
            Step::NoteIsWritten => self.under_way.take().map(|moments| {
                self.noted.extend(moments);
                Event::Noted
            }),
            Step::NoteFails => self.under_way.take().map(|_| {
                self.is_ending = true;
                Event::NotNoted
            }),
            Step::TimePasses => self.rules.wake_at().map(|moment| {
                self.now = moment.max(self.now);
                Event::Tick
            }),
            Step::TimeIsLost => {
                self.now = self.rules.wake_at().map_or(self.now, |moment| moment.plus(SECOND).max(self.now));
                None
            }
            Step::OldNews(place) => self.started.get(&Place(place)).and_then(|(Incarnation(number), _)| {
                let old = Incarnation(number - 1);
                (old != Incarnation(0)).then_some(Event::Ended(Place(place), old, End::Failed("old".into())))
            }),
            Step::Stop => Some(Event::Stop),
            Step::Kill => Some(Event::Kill),
        };
        self.is_ending |= matches!(step, Step::Stop | Step::Kill);
        event.map_or_else(Vec::new, |event| self.handle(event))
    }

    /// The steps that can happen now.
    pub(super) fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (Place(place), child) in &self.live {
            steps.extend([Step::Fails(*place), Step::IsDone(*place)]);
            steps.extend((!child.ready).then_some(Step::IsReady(*place)));
        }
        steps.extend(self.under_way.iter().flat_map(|_| [Step::NoteIsWritten, Step::NoteFails]));
        if let Some(moment) = self.rules.wake_at() {
            steps.push(Step::TimePasses);
            steps.extend((moment > self.now).then_some(Step::TimeIsLost));
        }
        steps.extend((!self.is_ending).then_some(Step::Stop));
        steps.push(Step::Kill);
        steps
    }

    pub(super) fn live(&self) -> Vec<usize> {
        self.live.keys().map(|place| place.0).collect()
    }

    /// From here on nothing fails, and whoever is asked to stop does. Everybody must be up then, and stop when told.
    pub(super) fn must_recover_and_stop(mut self) {
        self.settle();
        if self.ending.is_none() {
            let resting = &self.resting;
            let missing = (0..self.terms.len()).map(Place).find(|p| !self.live.contains_key(p) && !resting.contains(p));
            assert_eq!(missing, None, "it is parked for ever: {self:?}");
            self.step(Step::Stop);
            self.settle();
        }
        assert!(self.ending.is_some() && self.live.is_empty(), "it does not end: {self:?}");
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            let asked =
                self.live.iter().find(|(_, child)| child.asked || child.killed).map(|(place, _)| Step::IsDone(place.0));
            let unready = self.live.iter().find(|(_, child)| !child.ready).map(|(place, _)| Step::IsReady(place.0));
            let note = self.under_way.is_some().then_some(Step::NoteIsWritten);
            let time = self.rules.wake_at().map(|_| Step::TimePasses);
            match asked.or(unready).or(note).or(time) {
                Some(step) => self.step(step),
                None => return,
            };
        }
        panic!("it never comes to rest: {self:?}");
    }

    fn ends(&mut self, place: usize, end: End) -> Option<Event> {
        let place = Place(place);
        let child = self.live.remove(&place)?;
        let stays = match self.terms[place.0].restart {
            Restart::Temporary => true,
            Restart::Transient => end == End::Done,
            Restart::Permanent => false,
        };
        if stays {
            self.resting.insert(place);
        }
        Some(Event::Ended(place, child.incarnation, end))
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        // No two events at one moment, so that a moment tells which restart it belongs to.
        self.now.0 += 1;
        let actions = self.rules.handle(self.now, event, self.random);
        assert!(self.ending.is_none() || actions.is_empty(), "after its end it does {actions:?}");
        actions.iter().for_each(|action| self.check(action));
        self.check_budget();
        let next = self.live.values().filter_map(|child| child.deadline).min();
        assert!(next.is_none_or(|next| self.rules.wake_at().is_some_and(|moment| moment <= next)), "{self:?}");
        let ready = actions.iter().filter_map(|action| match action {
            Action::Start(place, _) if self.terms[place.0].ready_within.is_none() => Some(place.0),
            _ => None,
        });
        let ready: Vec<_> = ready.collect();
        let then = ready.into_iter().flat_map(|place| self.step(Step::IsReady(place)));
        actions.iter().cloned().chain(then).collect()
    }

    fn check(&mut self, action: &Action) {
        match action {
            Action::Start(place, incarnation) => self.check_start(*place, *incarnation),
            Action::Stop(place) => {
                let last = self.live.keys().next_back();
                assert_eq!(last, Some(place), "the last one is to stop first");
                let child = self.live.get_mut(place).unwrap();
                child.deadline = self.terms[place.0].stop_within.map(|duration| self.now.plus(duration));
                assert!(!std::mem::replace(&mut child.asked, true), "{place:?} is asked twice");
            }
            Action::Kill(place) => {
                let child = self.live.get_mut(place).expect("only what lives is killed");
                (child.killed, child.deadline) = (true, None);
            }
            Action::Note { moments, anew } => {
                assert!(self.under_way.replace(moments.clone()).is_none(), "two notes at once");
                assert!(!anew.is_empty(), "somebody is restarted");
            }
            Action::DropNote => assert!(self.under_way.is_some(), "there is no note to drop"),
            Action::Started => {}
            Action::End(ending) => {
                assert!(self.live.is_empty() && self.under_way.is_none(), "it leaves something behind");
                self.ending = Some(ending.clone());
            }
        }
    }

    fn check_start(&mut self, place: Place, incarnation: Incarnation) {
        assert!(!self.is_ending, "it ends, and starts {place:?}");
        let before = self.started.insert(place, (incarnation, self.now));
        if let Some((before, started)) = before {
            assert_eq!(incarnation.0, before.0 + 1);
            assert_ne!(self.terms[place.0].restart, Restart::Temporary, "a temporary one is not restarted");
            // Some restart that was noted since then is why.
            assert!(self.noted.range(started..).next().is_some(), "{place:?} is restarted before that is noted");
        }
        if before.is_none() || self.strategy != Strategy::OneForOne {
            let in_front = (0..place.0).map(Place);
            let is_up =
                |place: Place| self.live.get(&place).map_or_else(|| self.resting.contains(&place), |child| child.ready);
            assert!(in_front.clone().all(is_up), "{place:?} is started before those in front of it");
        }
        self.resting.remove(&place);
        let deadline = self.terms[place.0].ready_within.map(|duration| self.now.plus(duration));
        let child = Child { incarnation, ready: false, asked: false, killed: false, deadline };
        assert!(self.live.insert(place, child).is_none(), "{place:?} runs twice");
    }

    fn check_budget(&self) {
        for first in &self.noted {
            let together = self.noted.range(first..&first.plus(self.budget.within)).count();
            assert!(together <= self.budget.restarts as usize, "{together} restarts within the period");
        }
    }
}
