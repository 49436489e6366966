//! One supervisor for each actor type: it starts activations when messages need them, learns of their ends, and starts
//! others after a failure. The messages are in the store and in the mailbox, so an activation that dies loses none.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use tokio::task::JoinHandle;

use crate::activation::{Activation, Loaded, Turns};
use crate::actor::{Actor, Handlers};
use crate::base::child::{Run, start_child};
use crate::base::text::brief;
use crate::engine::activating;
use crate::engine::failing::{fail, take_back};
use crate::mailbox::actor_type::{ActorType, Declared, MakeRemoteQuery, Supervises, Trying};
use crate::mailbox::{Mailbox, Start, Unfinished};
use crate::message::failure::Failure;
use crate::record::schema::Schema;
use crate::shard::Shard;
use crate::shard::activations::Activations;
use crate::shard::services::SUPERVISOR_MEANS;
use crate::supervise::worker::{Assigned, IdleWorkers, Worker};

/// As how many turns the start and the end of an activation count.
const TURNS_AN_ACTIVATION: usize = 4;

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
    /// Weak, since the shard has the actor types.
    shard: Weak<Shard>,
    activations: Arc<Activations>,
    idle: Arc<IdleWorkers>,
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
        if self.idle.give(mailbox) {
            return Start::Ordered;
        }
        match self.supervisor.cast(Order::Start(Arc::clone(mailbox))) {
            Ok(()) => Start::Ordered,
            Err(_) => Start::Refused,
        }
    }

    // A supervisor that is gone means that the node is stopping: the messages stay in the store.

    fn kill(&self, mailbox: &Arc<Mailbox>) {
        self.idle.kill_ordered();
        let _ = self.supervisor.cast(Order::Kill(Arc::clone(mailbox)));
    }

    fn kill_all(&self) {
        self.supervisor.get_children().iter().for_each(ActorCell::kill);
    }

    fn shrink(&self) {
        self.idle.end_unneeded();
    }

    fn stop(&self) {
        let _ = self.supervisor.cast(Order::Stop);
    }

    fn try_state(&self, mailbox: &Arc<Mailbox>) -> Trying {
        let (shard, mailbox) = (self.shard.upgrade(), Arc::clone(mailbox));
        Box::pin(async move {
            if let Some(shard) = shard {
                drop(Loaded::<A>::read(&shard, &mailbox).await);
            }
        })
    }
}

/// Starts the supervisor of `A`, which ends by [`Order::Stop`].
pub(crate) async fn supervise<A: Actor>(
    shard: Arc<Shard>,
    actor_type: &ActorType,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
) -> Result<JoinHandle<()>, ractor::SpawnErr> {
    let (activations, weak) = (Arc::clone(&shard.activations), Arc::downgrade(&shard));
    let name = format!("supervisor of `{}`", A::TYPE);
    let idle = Arc::new(IdleWorkers::default());
    let supervised = Arc::new(Supervised { shard, actor, handlers, idle: Arc::clone(&idle), name });
    let (supervisor, ended) = ActorRuntime::spawn(None, Supervisor(supervised), ()).await?;
    actor_type.supervised_by(Box::new(Supervising::<A> {
        shard: weak,
        activations,
        idle,
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

/// What a supervisor and its workers share.
struct Supervised<A: Actor> {
    shard: Arc<Shard>,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
    idle: Arc<IdleWorkers>,
    /// For whoever is told of a panic.
    name: String,
}

struct Supervisor<A: Actor>(Arc<Supervised<A>>);

#[derive(Default)]
struct Children {
    workers: HashMap<ActorId, (Arc<Worker>, ActorCell)>,
    stopping: bool,
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
        self.0.shard.watched(&self.0.name, SUPERVISOR_MEANS, self.obey(&myself, order, children)).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Order>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let Some((child, failure)) = ended(event) else { return Ok(()) };
        let ending = async { self.has_ended(&myself, child, failure, children) };
        self.0.shard.watched(&self.0.name, SUPERVISOR_MEANS, ending).await;
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
                self.0.shard.activations.give_place_back();
            }
            Order::Start(mailbox) => self.start(myself, mailbox, children).await?,
            Order::Kill(mailbox) => {
                children.workers.values().for_each(|(worker, actor)| worker.kill(&mailbox, actor));
                self.0.idle.kill_obeyed();
            }
            Order::Stop => {
                children.stopping = true;
                self.0.idle.close();
                children.workers.values().for_each(|(worker, _)| worker.wake());
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
        let shard = &self.0.shard;
        match children.workers.remove(&child).map(|(worker, _)| worker.ended()) {
            Some(Assigned::Active(mailbox)) => {
                shard.activations.leave(&mailbox);
                match failure {
                    None => activating::ended(shard, mailbox),
                    Some(error) => self.failed(mailbox, &error),
                }
            }
            Some(Assigned::Given(mailbox)) => {
                shard.activations.give_place_back();
                activating::ended(shard, mailbox);
            }
            Some(Assigned::Nothing) | None => {}
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
        // One that has become idle meanwhile.
        if self.0.idle.give(&mailbox) {
            return Ok(());
        }
        let worker = Worker::given(mailbox);
        let actor = WorkerActor { supervised: Arc::clone(&self.0), worker: Arc::clone(&worker) };
        let actor = start_child(actor, myself.get_cell()).await?;
        children.workers.insert(actor.get_id(), (worker, actor));
        Ok(())
    }

    /// The message that was in flight has failed; without one the activation itself has.
    fn failed(&self, mailbox: Arc<Mailbox>, error: &ActorProcessingErr) {
        let shard = &self.0.shard;
        // Not under the lock: the text may be made by the program's code.
        let text = error.to_string();
        let Unfinished { in_flight, handover: held } = mailbox.lock().activation_failed(&text);
        // With a message in flight it is told as the failure of that.
        if in_flight.is_none() && held.is_none() {
            // Of a node that has ended no other is started.
            if !shard.gate.is_over()
                && let Some(times) = shard.of_actors.activations.met(mailbox.id())
            {
                tracing::warn!(
                    node = %shard.name, actor = %mailbox.address, error = %brief(error), times,
                    event = "activation failed",
                    "another is started after a while, unless its restart budget is spent"
                );
            }
            activating::restart_later(shard, mailbox, text);
            return;
        }
        let (failing, failure) = (Arc::clone(shard), Failure::retry(error));
        // Not awaited here: a store without room may hold it back, and others must start meanwhile to make some.
        shard.begin("the failure of an activation", async move {
            match (in_flight, held) {
                (Some(position), _) => _ = fail(&failing, &mailbox, position, failure).await,
                (None, Some(held)) => {
                    _ = take_back(&failing, &mailbox, held.position, Some(held.attempt), failure).await;
                }
                (None, None) => {}
            }
            activating::ended(&failing, mailbox);
        });
    }

    /// A supervisor that ends kills its children, so it is the last to leave.
    fn end_with_the_last(myself: &ActorRef<Order>, children: &Children) {
        if children.workers.is_empty() {
            myself.stop(None);
        }
    }
}

/// The ractor actor of a worker.
struct WorkerActor<A: Actor> {
    supervised: Arc<Supervised<A>>,
    worker: Arc<Worker>,
}

impl<A: Actor> Run for WorkerActor<A> {
    /// Activates the mailboxes that it is given, one after another, until it is given no more. A doorbell that went
    /// through a ractor mailbox each time took a sixth of the processor time of a short turn: a boxed message, a
    /// channel, and a choice among four of them.
    async fn run(&self) -> Result<(), ActorProcessingErr> {
        let Supervised { shard, actor, handlers, idle, .. } = &*self.supervised;
        let mut turns = Turns::default();
        while let Some(mailbox) = self.worker.next().await {
            self.step(|| {
                shard.activations.enter(&mailbox);
                mailbox.lock().begun();
            })
            .await;
            Activation::new(shard, actor, handlers, &mailbox).live(&mut turns).await?;
            if !self.worker.finish() {
                // It is killed here.
                return std::future::pending().await;
            }
            if shard.is_stopping() || !idle.keep(&self.worker) {
                self.worker.end();
            }
            // Whoever waits for a place may get this worker too, before anybody else has to be woken.
            self.step(|| {
                shard.activations.leave(&mailbox);
                activating::ended(shard, mailbox);
            })
            .await;
            turns.add(TURNS_AN_ACTIVATION);
            turns.let_others_run().await;
        }
        Ok(())
    }
}

impl<A: Actor> WorkerActor<A> {
    /// What the supervisor would do otherwise. A panic means the same.
    async fn step(&self, step: impl FnOnce() + Send) {
        let Supervised { shard, name, .. } = &*self.supervised;
        shard.watched(name, SUPERVISOR_MEANS, async { step() }).await;
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
