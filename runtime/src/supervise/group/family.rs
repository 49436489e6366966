//! The ractor actor of a group: it does what the rules say, and tells them what happens. It has no name, spawns
//! children that do nothing until they are told to begin, and is the last of its family to leave: ractor kills the
//! children of an actor that ends.

mod note;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everpost_persistence::MailboxId;
use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr, SupervisionEvent};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::GroupEnded;
use super::child::{ChildContext, Ready, Run};
use super::plan::{Plan, Planned, PlannedWork};
use super::roots::root_id;
use super::rules::{Action, End, Ending, Event, Incarnation, Place, Rules};
use super::task::Task;
use crate::base::child::start_child;
use crate::base::text::brief;
use crate::record::budget::Restarts;
use crate::shard::Shard;
use crate::shard::wheel;

/// What a group is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Start the children.
    Begin,
    /// A child says that it is ready.
    Ready(Place, Incarnation),
    /// Something is due.
    Tick,
    /// What was to be noted is durable, or will not be.
    Noted(bool),
    /// Stop the children, and end with the last.
    Stop,
    /// Kill the children, and end with the last.
    Kill,
}

/// What an earlier process has left of the budgets of a tree of groups.
pub(super) type Stored = Arc<HashMap<MailboxId, Restarts>>;

pub(super) struct Family {
    pub(super) shard: Arc<Shard>,
    pub(super) plan: Arc<Plan>,
    /// Called when all children have started.
    pub(super) ready: Ready,
}

pub(super) struct Members {
    rules: Rules,
    live: HashMap<ActorId, (Place, Incarnation)>,
    controls: HashMap<Place, Control>,
    stored: Stored,
    timer: Option<JoinHandle<()>>,
    /// Rung when the note that is under way is not waited for any longer.
    note_dropped: Arc<Notify>,
}

/// How a child is told to end.
enum Control {
    Task(ActorCell, watch::Sender<bool>),
    Group(ActorRef<Order>),
}

impl ractor::Actor for Family {
    type Msg = Order;
    type State = Members;
    type Arguments = Stored;

    async fn pre_start(&self, _: ActorRef<Order>, stored: Stored) -> Result<Members, ActorProcessingErr> {
        let Plan { strategy, budget, backoff, .. } = *self.plan;
        let terms = self.plan.children.iter().map(|child| child.terms);
        let restarts = stored.get(&self.plan.subject).cloned().unwrap_or_default();
        Ok(Members {
            rules: Rules::new(strategy, budget, backoff, terms, restarts),
            live: HashMap::new(),
            controls: HashMap::new(),
            stored,
            timer: None,
            note_dropped: Arc::default(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        members: &mut Members,
    ) -> Result<(), ActorProcessingErr> {
        let event = match order {
            Order::Begin => Event::Begin,
            Order::Ready(place, incarnation) => Event::Ready(place, incarnation),
            Order::Tick => Event::Tick,
            Order::Noted(true) => Event::Noted,
            Order::Noted(false) => Event::NotNoted,
            Order::Stop => Event::Stop,
            Order::Kill => Event::Kill,
        };
        self.go_on(&myself, members, event).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Order>,
        event: SupervisionEvent,
        members: &mut Members,
    ) -> Result<(), ActorProcessingErr> {
        let (child, end) = match event {
            SupervisionEvent::ActorTerminated(child, _, None) => (child, End::Done),
            SupervisionEvent::ActorTerminated(child, _, Some(reason)) => (child, End::Failed(reason)),
            SupervisionEvent::ActorFailed(child, error) => (child, End::Failed(error.to_string())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some((place, incarnation)) = members.live.remove(&child.get_id()) else {
            return Ok(());
        };
        members.controls.remove(&place);
        if let End::Failed(error) = &end {
            let (node, group, child) = (&self.shard.name, &self.plan.path, &self.planned(place).name);
            tracing::warn!(
                %node, group, child, error = %brief(error), event = "child failed",
                "its group does what its strategy says"
            );
        }
        self.go_on(&myself, members, Event::Ended(place, incarnation, end)).await
    }
}

impl Family {
    /// Tells the rules what has happened, and does what they say.
    async fn go_on(
        &self,
        myself: &ActorRef<Order>,
        members: &mut Members,
        event: Event,
    ) -> Result<(), ActorProcessingErr> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in members.rules.handle(self.shard.clock.steady(), event, rand::random()) {
                match action {
                    Action::Start(place, incarnation) => {
                        if let Err(error) = self.start(myself, members, place, incarnation).await {
                            events.push_back(Event::Ended(place, incarnation, End::Failed(error.to_string())));
                        }
                    }
                    Action::End(ending) => return self.end(myself, ending),
                    other => self.act(myself, members, other),
                }
            }
        }
        members.set_timer(&self.shard, myself);
        Ok(())
    }

    async fn start(
        &self,
        myself: &ActorRef<Order>,
        members: &mut Members,
        place: Place,
        incarnation: Incarnation,
    ) -> Result<(), SpawnErr> {
        let parent = myself.clone();
        let said = AtomicBool::new(false);
        let ready: Ready = Arc::new(move || {
            if !said.swap(true, Ordering::Relaxed) {
                // A group that is gone needs no news.
                let _ = parent.cast(Order::Ready(place, incarnation));
            }
        });
        let (cell, control) = match &self.planned(place).work {
            PlannedWork::Task(run) => self.start_task(myself, place, run, ready).await?,
            PlannedWork::Group(plan) => {
                // Only its first start goes on with what an earlier process has left.
                let is_first = incarnation == Incarnation(1);
                let stored = if is_first { Arc::clone(&members.stored) } else { Stored::default() };
                let family = Self { shard: Arc::clone(&self.shard), plan: Arc::clone(plan), ready };
                // Boxed, since a group may be inside a group.
                let spawning = Box::pin(ActorRuntime::spawn_linked(None, family, stored, myself.get_cell()));
                let (group, _) = spawning.await?;
                // One that is gone already is heard of as every end is.
                let _ = group.cast(Order::Begin);
                (group.get_cell(), Control::Group(group))
            }
        };
        members.live.insert(cell.get_id(), (place, incarnation));
        members.controls.insert(place, control);
        Ok(())
    }

    async fn start_task(
        &self,
        myself: &ActorRef<Order>,
        place: Place,
        run: &Run,
        ready: Ready,
    ) -> Result<(ActorCell, Control), SpawnErr> {
        let (stop, stopping) = watch::channel(false);
        let (node, group, child) = (&self.shard.name, &self.plan.path, &self.planned(place).name);
        let span = tracing::info_span!(parent: None, "task", %node, group, child);
        let (run, says_ready) = (Arc::clone(run), self.planned(place).terms.ready_within.is_some());
        let root = root_id(&self.shard, &self.plan.path);
        let task = Task { run, context: ChildContext { stopping, ready }, says_ready, span, root };
        let task = start_child(task, myself.get_cell()).await?;
        Ok((task.clone(), Control::Task(task, stop)))
    }

    fn act(&self, myself: &ActorRef<Order>, members: &Members, action: Action) {
        match action {
            Action::Stop(place) => members.controls[&place].stop(),
            Action::Kill(place) => {
                let (node, group, child) = (&self.shard.name, &self.plan.path, &self.planned(place).name);
                tracing::warn!(
                    %node, group, child, event = "child killed",
                    "it was not ready, or did not stop, in time"
                );
                members.controls[&place].kill();
            }
            Action::Note { moments, anew } => {
                let anew = anew.iter().flat_map(|place| self.planned(*place).groups());
                let note = note::Note::new(&self.plan, &moments, anew);
                note.write(&self.shard, &members.note_dropped, myself);
            }
            Action::DropNote => members.note_dropped.notify_one(),
            Action::Started => (self.ready)(),
            Action::Start(..) | Action::End(_) => unreachable!("they are done where they come up"),
        }
    }

    fn end(&self, myself: &ActorRef<Order>, ending: Ending) -> Result<(), ActorProcessingErr> {
        let group = self.plan.path.clone();
        Err(Box::new(match ending {
            Ending::Stopped => {
                myself.stop(None);
                return Ok(());
            }
            Ending::Spent(place, cause) => {
                let child = self.planned(place).name.clone();
                GroupEnded::Spent { group, budget: self.plan.budget, child, cause }
            }
            Ending::NotNoted => GroupEnded::NotStored { group, source: self.shard.gate.ended() },
        }))
    }

    fn planned(&self, place: Place) -> &Planned {
        &self.plan.children[place.0]
    }
}

impl Members {
    /// Sees to it that the rules are asked again when something is due.
    fn set_timer(&mut self, shard: &Arc<Shard>, myself: &ActorRef<Order>) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        self.timer = self.rules.wake_at().map(|moment| {
            let (group, clock) = (myself.clone(), Arc::clone(&shard.clock));
            shard.begin_beside_handlers("the timer of a group", async move {
                wheel::reached(&clock, moment).await;
                // One that is gone has nothing due.
                let _ = group.cast(Order::Tick);
            })
        });
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

impl Control {
    fn stop(&self) {
        match self {
            Self::Task(_, stop) => drop(stop.send_replace(true)),
            // One that is gone has stopped.
            Self::Group(group) => drop(group.cast(Order::Stop)),
        }
    }

    fn kill(&self) {
        match self {
            Self::Task(cell, _) => cell.kill(),
            // As above.
            Self::Group(group) => drop(group.cast(Order::Kill)),
        }
    }
}
