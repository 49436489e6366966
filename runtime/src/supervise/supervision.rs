//! One supervisor for each actor type: it starts activations when messages need them, learns of their ends, and starts
//! others after a failure. The messages are in the store and in the mailbox, so an activation that dies loses none.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ractor::{ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::task::JoinHandle;

use crate::activations::Activations;
use crate::actor::failure::Failure;
use crate::actor::{Actor, Delivery, Handlers, Order as MessageOrder};
use crate::api::query::{AwayQuestion, Open};
use crate::core::Core;
use crate::engine::activation::{Activation, Begin, Loaded};
use crate::engine::failing::{fail, take_back};
use crate::expiry::Expiry;
use crate::mailbox::{Mailbox, Presence};
use crate::message::envelope::Header;
use crate::message::schema::Schema;
use crate::record::budget::Budget;
use crate::record::supervised::Paused;
use crate::telemetry::brief;

/// An actor type on this node, without its Rust type.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) delivery: Delivery,
    pub(crate) order: MessageOrder,
    /// The restart budget of each actor.
    pub(crate) budget: Budget,
    /// Set without the lock when it is paused: it is looked at for every message.
    is_paused: AtomicBool,
    paused: Mutex<Option<Paused>>,
    /// How many messages of one mailbox may be held at a time.
    pub(crate) holds_max: usize,
    pub(crate) expired: Expiry,
    /// The messages that are held, by name.
    held: FxHashSet<&'static str>,
    /// The messages that it handles, by name.
    messages: FxHashMap<&'static str, Schema>,
    pub(crate) state: Schema,
    questions: FxHashSet<&'static str>,
    question_from_away: QuestionFromAway,
    try_state: fn(&Arc<Core>, &Arc<Mailbox>) -> Trying,
    supervisor: OnceLock<(ActorRef<Order>, Arc<Activations>)>,
}

/// Makes a question of what another node has sent, or hands that back.
type QuestionFromAway = Box<dyn Fn(AwayQuestion) -> Box<dyn Open> + Send + Sync>;

/// A state that is loaded and dropped.
type Trying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a supervisor is told.
pub(crate) enum Order {
    /// A mailbox has work and no activation.
    Start(Arc<Mailbox>),
    /// The activation of a mailbox, if there is one, ends where it stands, at its next await.
    Kill(Arc<Mailbox>),
    /// No more starts; end when every activation has ended.
    Stop,
}

impl Kind {
    pub(crate) fn new<A: Actor>(handlers: &Arc<Handlers<A>>) -> Self {
        let asked = Arc::clone(handlers);
        let question_from_away: QuestionFromAway = Box::new(move |question| {
            let make = asked.answer(&question.name).expect("the caller has looked whether it is answered");
            Box::new(make(question))
        });
        Self {
            name: A::TYPE,
            delivery: A::DELIVERY,
            order: A::ORDER,
            budget: A::BUDGET,
            is_paused: AtomicBool::new(false),
            paused: Mutex::default(),
            holds_max: A::HOLDS_MAX,
            expired: A::EXPIRED,
            held: handlers.held().collect(),
            messages: handlers.schemas().iter().map(|schema| (schema.name, *schema)).collect(),
            state: Schema::of_state::<A::State>(),
            questions: handlers.questions().collect(),
            question_from_away,
            try_state: try_state::<A>,
            supervisor: OnceLock::new(),
        }
    }

    pub(crate) fn answers(&self, question: &str) -> bool {
        self.questions.contains(question)
    }

    /// A question of another node that is answered here. It is read where that is done.
    pub(crate) fn question(&self, question: AwayQuestion) -> Box<dyn Open> {
        (self.question_from_away)(question)
    }

    /// Loads the state of a mailbox and drops it again: what cannot be read is left to whoever needs it.
    pub(crate) fn try_state(&self, core: &Arc<Core>, mailbox: &Arc<Mailbox>) -> Trying {
        (self.try_state)(core, mailbox)
    }

    pub(crate) fn handles(&self, message: &str) -> bool {
        self.messages.contains_key(message)
    }

    /// Whether a message is handed to a holder.
    pub(crate) fn holds(&self, message: &str) -> bool {
        self.held.contains(message)
    }

    /// The same of a message in its envelope. Few types have such messages, and only those look into it.
    pub(crate) fn holds_what_is_in(&self, envelope: &[u8]) -> bool {
        !self.held.is_empty() && Header::decode(envelope).is_ok_and(|(header, _)| self.holds(header.message))
    }

    /// How a message is read, if it is handled.
    pub(crate) fn message(&self, name: &str) -> Option<&Schema> {
        self.messages.get(name)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    pub(crate) fn paused(&self) -> Option<Paused> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pauses or resumes the type. Nobody else does while what is returned is held.
    pub(crate) fn set_paused(&self, paused: Option<Paused>) -> MutexGuard<'_, Option<Paused>> {
        let mut current = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_paused.store(paused.is_some(), Ordering::Relaxed);
        *current = paused;
        current
    }

    /// Has an activation started when there is a place for one, or in any case. There is none when there is no supervisor: before the
    /// node wakes what waits, or while it stops.
    pub(crate) fn start(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> Presence {
        let Some((_, activations)) = self.supervisor.get() else { return Presence::Absent };
        if !activations.take_place(mailbox, in_any_case) {
            Presence::Waiting
        } else if self.start_at_place(mailbox) {
            Presence::Starting
        } else {
            activations.return_place();
            Presence::Absent
        }
    }

    /// The same at a place that was taken for it. False when there is no supervisor any more.
    pub(crate) fn start_at_place(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.supervisor.get().is_some_and(|(supervisor, _)| supervisor.cast(Order::Start(Arc::clone(mailbox))).is_ok())
    }

    pub(crate) fn order(&self, order: Order) {
        if let Some((supervisor, _)) = self.supervisor.get() {
            // A supervisor that is gone means that the node is stopping: the messages stay in the store.
            let _ = supervisor.cast(order);
        }
    }

    /// Ends every activation where it stands, at its next await.
    pub(crate) fn kill(&self) {
        if let Some((supervisor, _)) = self.supervisor.get() {
            supervisor.get_children().iter().for_each(ractor::ActorCell::kill);
        }
    }
}

fn try_state<A: Actor>(core: &Arc<Core>, mailbox: &Arc<Mailbox>) -> Trying {
    let (core, mailbox) = (Arc::clone(core), Arc::clone(mailbox));
    Box::pin(async move { drop(Loaded::<A>::read(&core, &mailbox).await) })
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .field("messages", &self.messages.keys())
            .finish_non_exhaustive()
    }
}

/// Starts the supervisor of `A`, which ends by [`Order::Stop`].
pub(crate) async fn supervise<A: Actor>(
    core: Arc<Core>,
    kind: &Kind,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
) -> Result<JoinHandle<()>, ractor::SpawnErr> {
    let activations = Arc::clone(&core.activations);
    let supervisor = Supervisor { core, actor, handlers, name: format!("supervisor of `{}`", A::TYPE) };
    let (supervisor, ended) = ActorRuntime::spawn(None, supervisor, ()).await?;
    assert!(kind.supervisor.set((supervisor, activations)).is_ok(), "a type is supervised once");
    Ok(ended)
}

/// The child that has ended, with its failure if it has failed; none if something else has happened.
pub(crate) fn ended(event: SupervisionEvent) -> Option<(ActorId, Option<ActorProcessingErr>)> {
    match event {
        SupervisionEvent::ActorTerminated(child, ..) => Some((child.get_id(), None)),
        SupervisionEvent::ActorFailed(child, error) => Some((child.get_id(), Some(error))),
        SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => None,
    }
}

struct Supervisor<A: Actor> {
    core: Arc<Core>,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
    /// For whoever is told of its panic.
    name: String,
}

#[derive(Default)]
struct Children {
    mailboxes: HashMap<ActorId, Arc<Mailbox>>,
    stopping: bool,
}

impl Children {
    fn kill(&self, myself: &ActorRef<Order>, mailbox: &Arc<Mailbox>) {
        let activation = self.mailboxes.iter().find(|(_, running)| Arc::ptr_eq(running, mailbox));
        if let Some((id, _)) = activation {
            myself.get_children().iter().filter(|child| child.get_id() == *id).for_each(ractor::ActorCell::kill);
        }
    }
}

impl<A: Actor> ractor::Actor for Supervisor<A> {
    type Msg = Order;
    type State = Children;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<Children, ActorProcessingErr> {
        Ok(Children::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        self.core.watched(&self.name, self.obey(&myself, order, children)).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Order>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let Some((child, failure)) = ended(event) else { return Ok(()) };
        self.core.watched(&self.name, async { self.has_ended(&myself, child, failure, children) }).await;
        Ok(())
    }
}

impl<A: Actor> Supervisor<A> {
    async fn obey(
        &self,
        myself: &ActorRef<Order>,
        order: Order,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Start(mailbox) if children.stopping => {
                mailbox.lock().vacate();
                self.core.activations.give_place_back();
            }
            Order::Start(mailbox) => self.start(myself, mailbox, children).await?,
            Order::Kill(mailbox) => children.kill(myself, &mailbox),
            Order::Stop => {
                children.stopping = true;
                for mailbox in children.mailboxes.values() {
                    mailbox.lock().wake();
                }
                Self::end_with_the_last(myself, children);
            }
        }
        Ok(())
    }

    fn has_ended(
        &self,
        myself: &ActorRef<Order>,
        child: ActorId,
        failure: Option<ActorProcessingErr>,
        children: &mut Children,
    ) {
        if let Some(mailbox) = children.mailboxes.remove(&child) {
            self.core.activations.leave();
            match failure {
                None => self.core.ended(mailbox),
                Some(error) => self.failed(mailbox, &error),
            }
        }
        if children.stopping {
            Self::end_with_the_last(myself, children);
        }
    }

    async fn start(
        &self,
        myself: &ActorRef<Order>,
        mailbox: Arc<Mailbox>,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let activation = Activation::new(&self.core, &self.actor, &self.handlers, &mailbox);
        let (child, _) = ActorRuntime::spawn_linked(None, activation, (), myself.get_cell()).await?;
        children.mailboxes.insert(child.get_id(), Arc::clone(&mailbox));
        self.core.activations.enter();
        mailbox.lock().presence = Presence::Running;
        child.cast(Begin)?;
        Ok(())
    }

    /// The message that was in hand has failed; without one the activation itself has.
    fn failed(&self, mailbox: Arc<Mailbox>, error: &ActorProcessingErr) {
        let (in_hand, held) = {
            let mut inner = mailbox.lock();
            if let Some(attendance) = &mut inner.attendance {
                attendance.failed(error.to_string());
            }
            (inner.rules.in_hand().map(|(position, _)| position), inner.holding.take())
        };
        // With a message in hand it is told as the failure of that.
        if in_hand.is_none() && held.is_none() {
            if let Some(times) = self.core.of_actors.activations.met(mailbox.id()) {
                tracing::warn!(node = %self.core.name, actor = %mailbox.address, error = %brief(error), times, event = "activation failed", "another is started after a while, unless its restart budget is spent");
            }
            self.core.restart_later(mailbox, error.to_string());
            return;
        }
        let (core, failure) = (Arc::clone(&self.core), Failure::retry(error));
        // Not awaited here: a store without room may hold it back, and others must start meanwhile to make some.
        self.core.begin("the failure of an activation", async move {
            match (in_hand, held) {
                (Some(position), _) => _ = fail(&core, &mailbox, position, failure).await,
                (None, Some(held)) => {
                    _ = take_back(&core, &mailbox, held.position, Some(held.attempt), failure).await;
                }
                (None, None) => {}
            }
            core.ended(mailbox);
        });
    }

    /// A supervisor that ends kills its children, so it is the last to leave.
    fn end_with_the_last(myself: &ActorRef<Order>, children: &Children) {
        if children.mailboxes.is_empty() {
            myself.stop(None);
        }
    }
}
