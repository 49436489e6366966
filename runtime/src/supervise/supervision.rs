//! One supervisor for each actor type: it starts activations when messages need them, learns of their ends, and starts
//! others after a failure. The messages are in the store and in the mailbox, so an activation that dies loses none.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use ractor::{ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use tokio::task::JoinHandle;

use crate::activation::{Activation, Begin, Loaded};
use crate::actor::{Actor, Handlers};
use crate::base::text::brief;
use crate::core::Core;
use crate::core::activations::Activations;
use crate::core::services::SUPERVISOR_MEANS;
use crate::engine::activating;
use crate::engine::failing::{fail, take_back};
use crate::mailbox::actor_type::{ActorType, Declared, MakeRemoteQuery, Supervises, Trying};
use crate::mailbox::{Mailbox, Start, Unfinished};
use crate::message::failure::Failure;
use crate::record::schema::Schema;

/// What a supervisor is told.
pub(crate) enum Order {
    /// A mailbox has work and no activation.
    Start(Arc<Mailbox>),
    /// The activation of a mailbox, if there is one, ends where it stands, at its next await.
    Kill(Arc<Mailbox>),
    /// No more starts; end when every activation has ended.
    Stop,
}

/// What `A` declares of itself, without its Rust type.
pub(crate) fn actor_type_of<A: Actor>(handlers: &Arc<Handlers<A>>) -> ActorType {
    let of_remote = Arc::clone(handlers);
    let query_of_remote: MakeRemoteQuery = Box::new(move |query| {
        let make = of_remote.answer(&query.name).expect("the caller has looked whether it is answered");
        Box::new(make(query))
    });
    ActorType::new(Declared {
        name: A::TYPE,
        delivery: A::DELIVERY,
        order: A::ORDER,
        budget: A::BUDGET,
        holds_max: A::HOLDS_MAX,
        expired: A::WHEN_EXPIRED,
        held: handlers.held().collect(),
        messages: handlers.schemas().iter().map(|schema| (schema.name, *schema)).collect(),
        state: Schema::of_state::<A::State>(),
        queries: handlers.queries().collect(),
        query_of_remote,
    })
}

/// The supervisor of an actor type, for its mailboxes.
struct Supervising<A> {
    /// Weak, since the core has the actor types.
    core: Weak<Core>,
    activations: Arc<Activations>,
    supervisor: ActorRef<Order>,
    actor_type: PhantomData<fn() -> A>,
}

impl<A: Actor> Supervises for Supervising<A> {
    fn start(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> Start {
        if !self.activations.take_place(mailbox, in_any_case) {
            return Start::Waits;
        }
        let start = self.start_at_place(mailbox);
        if start == Start::Refused {
            self.activations.return_place();
        }
        start
    }

    fn start_at_place(&self, mailbox: &Arc<Mailbox>) -> Start {
        match self.supervisor.cast(Order::Start(Arc::clone(mailbox))) {
            Ok(()) => Start::Ordered,
            Err(_) => Start::Refused,
        }
    }

    // A supervisor that is gone means that the node is stopping: the messages stay in the store.

    fn kill(&self, mailbox: &Arc<Mailbox>) {
        let _ = self.supervisor.cast(Order::Kill(Arc::clone(mailbox)));
    }

    fn kill_all(&self) {
        self.supervisor.get_children().iter().for_each(ractor::ActorCell::kill);
    }

    fn stop(&self) {
        let _ = self.supervisor.cast(Order::Stop);
    }

    fn try_state(&self, mailbox: &Arc<Mailbox>) -> Trying {
        let (core, mailbox) = (self.core.upgrade(), Arc::clone(mailbox));
        Box::pin(async move {
            if let Some(core) = core {
                drop(Loaded::<A>::read(&core, &mailbox).await);
            }
        })
    }
}

/// Starts the supervisor of `A`, which ends by [`Order::Stop`].
pub(crate) async fn supervise<A: Actor>(
    core: Arc<Core>,
    actor_type: &ActorType,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
) -> Result<JoinHandle<()>, ractor::SpawnErr> {
    let (activations, weak) = (Arc::clone(&core.activations), Arc::downgrade(&core));
    let supervisor = Supervisor { core, actor, handlers, name: format!("supervisor of `{}`", A::TYPE) };
    let (supervisor, ended) = ActorRuntime::spawn(None, supervisor, ()).await?;
    actor_type.supervised_by(Box::new(Supervising::<A> {
        core: weak,
        activations,
        supervisor,
        actor_type: PhantomData,
    }));
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
        self.core.watched(&self.name, SUPERVISOR_MEANS, self.obey(&myself, order, children)).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Order>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let Some((child, failure)) = ended(event) else { return Ok(()) };
        let ending = async { self.has_ended(&myself, child, failure, children) };
        self.core.watched(&self.name, SUPERVISOR_MEANS, ending).await;
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
            self.core.activations.leave(&mailbox);
            match failure {
                None => activating::ended(&self.core, mailbox),
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
        self.core.activations.enter(&mailbox);
        mailbox.lock().begun();
        child.cast(Begin)?;
        Ok(())
    }

    /// The message that was in flight has failed; without one the activation itself has.
    fn failed(&self, mailbox: Arc<Mailbox>, error: &ActorProcessingErr) {
        // Not under the lock: the text may be made by the program's code.
        let text = error.to_string();
        let Unfinished { in_flight, handover: held } = mailbox.lock().activation_failed(&text);
        // With a message in flight it is told as the failure of that.
        if in_flight.is_none() && held.is_none() {
            // Of a node that has ended no other is started.
            if !self.core.gate.is_over()
                && let Some(times) = self.core.of_actors.activations.met(mailbox.id())
            {
                tracing::warn!(
                    node = %self.core.name, actor = %mailbox.address, error = %brief(error), times,
                    event = "activation failed",
                    "another is started after a while, unless its restart budget is spent"
                );
            }
            activating::restart_later(&self.core, mailbox, text);
            return;
        }
        let (core, failure) = (Arc::clone(&self.core), Failure::retry(error));
        // Not awaited here: a store without room may hold it back, and others must start meanwhile to make some.
        self.core.begin("the failure of an activation", async move {
            match (in_flight, held) {
                (Some(position), _) => _ = fail(&core, &mailbox, position, failure).await,
                (None, Some(held)) => {
                    _ = take_back(&core, &mailbox, held.position, Some(held.attempt), failure).await;
                }
                (None, None) => {}
            }
            activating::ended(&core, mailbox);
        });
    }

    /// A supervisor that ends kills its children, so it is the last to leave.
    fn end_with_the_last(myself: &ActorRef<Order>, children: &Children) {
        if children.mailboxes.is_empty() {
            myself.stop(None);
        }
    }
}

/// For tests that need an actor type, whichever.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// An actor that handles nothing.
    pub(crate) struct Idle;

    impl Actor for Idle {
        const TYPE: &'static str = "idle";
        type State = u32;
        fn handlers(_: &mut Handlers<Self>) {}
    }

    pub(crate) fn idle_type() -> ActorType {
        actor_type_of(&Arc::new(Handlers::<Idle>::of_actor()))
    }
}
