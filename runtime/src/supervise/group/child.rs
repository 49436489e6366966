//! A child of a group: what it does, when it is restarted, and what it is told while it runs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Group;
use super::actor::ActorChild;
use super::strategy::Restart;
use crate::actor::Actor;
use crate::api::handle::ActorHandle;
use crate::message::failure::Failure;

/// How long a task may take to stop when it does not say.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How long a keyed actor may take to load its state when it does not say: longer than the turn that it may have in
/// flight.
const LOADED_WITHIN: Duration = Duration::from_secs(60);

/// A child of a [`Group`]: a task, a keyed actor, or another group.
///
/// A task is a closure that makes a future, anew at each start. The future runs until it is done, or is told to stop by
/// its [`ChildContext`]; it fails by returning a [`Failure`] (which kind of failure makes no difference here) or by a
/// panic. One that is killed is dropped at its next await.
///
/// ```
/// use everpost::{Child, Group};
/// use std::time::Duration;
///
/// let ticker = Child::permanent("ticker", |context| async move {
///     while !context.is_stopping() {
///         tokio::select! {
///             () = context.stopping() => {}
///             () = tokio::time::sleep(Duration::from_secs(1)) => println!("tick"),
///         }
///     }
///     Ok(())
/// });
/// let group = Group::one_for_one("clock").child(ticker.stop_within(Duration::from_secs(1)));
/// # drop(group);
/// ```
#[must_use = "a child does nothing until its group is supervised"]
pub struct Child {
    /// None for a group, which has its own.
    pub(super) name: Option<String>,
    pub(super) restart: Restart,
    pub(super) ready_within: Option<Duration>,
    pub(super) stop_within: Option<Duration>,
    /// The task stands for this keyed actor.
    pub(super) actor: Option<ActorChild>,
    pub(super) work: Work,
}

/// What a child does.
pub(super) enum Work {
    Task(Run),
    Group(Group),
}

/// Makes the future of a task.
pub(super) type Run = Arc<dyn Fn(ChildContext) -> Running + Send + Sync>;
pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

impl Child {
    /// A task that is not supposed to end: it is restarted whatever its end was.
    ///
    /// A name has 1 to 64 characters of `a-z`, `0-9`, `_` and `-`, and is unique in its group.
    pub fn permanent<F: Future<Output = Result<(), Failure>> + Send + 'static>(
        name: impl Into<String>,
        run: impl Fn(ChildContext) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::task(name.into(), Restart::Permanent, run)
    }

    /// A task that may be done: it is restarted when it has failed. Its name is as for [`permanent`](Self::permanent).
    pub fn transient<F: Future<Output = Result<(), Failure>> + Send + 'static>(
        name: impl Into<String>,
        run: impl Fn(ChildContext) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::task(name.into(), Restart::Transient, run)
    }

    /// A task that is never restarted. Its name is as for [`permanent`](Self::permanent).
    pub fn temporary<F: Future<Output = Result<(), Failure>> + Send + 'static>(
        name: impl Into<String>,
        run: impl Fn(ChildContext) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::task(name.into(), Restart::Temporary, run)
    }

    /// A group, restarted as `restart` says. It counts as started when all of its children do; it has no deadline to
    /// stop but those of its children.
    pub fn group(restart: Restart, group: Group) -> Self {
        Self { name: None, restart, ready_within: None, stop_within: None, actor: None, work: Work::Group(group) }
    }

    /// A keyed actor of this node, restarted as `restart` says. Its name in the group is as for
    /// [`permanent`](Self::permanent).
    ///
    /// While the child is up, the actor is in memory and handles messages, as always. While it is down, it accepts
    /// messages and handles none, as if it were paused; queries to its state are answered. It is down from the moment
    /// at which its group is supervised (a turn that runs is finished) until its turn to start comes, between a failure
    /// and the restart, and when the group has ended, stopped or given up: then until a group is supervised again that
    /// has it as a child, or until [`Supervised::release`](crate::Supervised::release). Nothing of this is stored:
    /// after a start of the node an actor handles messages until its group is supervised; [`pause`](ActorHandle::pause)
    /// it where it must not.
    ///
    /// It has failed when its activation has: a handler panicked, which counts a failed attempt of the message as
    /// always, or its state could not be read. A restart loads the state again, and goes on with the message in flight.
    /// Strategy, backoff and budget of the group take the place of the restarts that an actor has without one, so such
    /// a failure does not count for its own budget ([`Actor::BUDGET`]); messages that were given up on do. A handler
    /// that returns an error has not failed the child, nor has the actor by being paused: it stays up, and waits. An
    /// actor is never done, so `Transient` is as `Permanent`; a temporary one stays down once it has failed.
    ///
    /// It counts as started when its state is loaded, which may take 60 seconds unless
    /// [`waits_until_ready`](Self::waits_until_ready) says otherwise. Told to stop, it finishes the turn that runs;
    /// past its deadline the turn is cut off at its next await, which is no failed attempt.
    ///
    /// ```
    /// # use everpost::*;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)] #[message(reply = i64)] struct Deposit { cents: i64 }
    /// # struct Account;
    /// # impl Actor for Account {
    /// #     const TYPE: &'static str = "account"; type State = i64;
    /// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Deposit>(); }
    /// # }
    /// # impl Handler<Deposit> for Account {
    /// #     async fn handle(
    /// #         &self,
    /// #         balance: &mut Durable<i64>,
    /// #         deposit: Deposit,
    /// #         _: &mut Turn<'_>,
    /// #     ) -> Result<i64, Failure> {
    /// #         **balance += deposit.cents; Ok(**balance)
    /// #     }
    /// # }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
    /// let (bank, alice) = (node.actor::<Account>("bank"), node.actor::<Account>("alice"));
    /// let group = Group::rest_for_one("accounts")
    ///     .child(Child::actor(Restart::Permanent, "bank", &bank))
    ///     .child(Child::actor(Restart::Permanent, "alice", &alice)); // not without the bank
    /// let accounts = node.supervise(group).await?;
    /// assert_eq!(alice.ask(Deposit { cents: 500 }).await?, 500);
    /// accounts.stop().await?;
    /// alice.send(Deposit { cents: 100 }).await?; // accepted, and not handled
    /// accounts.release();
    /// assert_eq!(alice.ask(Deposit { cents: 1 }).await?, 601);
    /// # node.stop().await?;
    /// # Ok(()) }
    /// ```
    pub fn actor<A: Actor>(restart: Restart, name: impl Into<String>, actor: &ActorHandle<A>) -> Self {
        let actor = ActorChild { current: actor.current.clone(), address: actor.address.address().clone() };
        let running = actor.clone();
        let child = Self::task(name.into(), restart, move |context| running.clone().run(context));
        Self { actor: Some(actor), ..child.waits_until_ready(LOADED_WITHIN) }
    }

    fn task<F: Future<Output = Result<(), Failure>> + Send + 'static>(
        name: String,
        restart: Restart,
        run: impl Fn(ChildContext) -> F + Send + Sync + 'static,
    ) -> Self {
        let run: Run = Arc::new(move |context| Box::pin(run(context)));
        let stop_within = Some(STOP_WITHIN);
        Self { name: Some(name), restart, ready_within: None, stop_within, actor: None, work: Work::Task(run) }
    }

    /// The next child starts when this one has called [`ChildContext::ready`]; a group does so by itself. If that takes
    /// longer than `deadline`, it is killed and has failed. Without this, a task counts as started when it has come to
    /// its first await.
    pub fn waits_until_ready(mut self, deadline: Duration) -> Self {
        self.ready_within = Some(deadline);
        self
    }

    /// How long it may take to stop before it is killed: 5 seconds when it is not said. Other children wait for that,
    /// and for its end after it was killed.
    pub fn stop_within(mut self, deadline: Duration) -> Self {
        self.stop_within = Some(deadline);
        self
    }
}

impl From<Group> for Child {
    fn from(group: Group) -> Self {
        Self::group(Restart::Permanent, group)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut child = f.debug_struct("Child");
        match &self.work {
            Work::Task(_) => child.field("name", &self.name.as_deref().unwrap_or_default()),
            Work::Group(group) => child.field("group", group),
        };
        child.field("restart", &self.restart).finish_non_exhaustive()
    }
}

/// What a running child is told by its group, and tells it. Cheap to clone.
#[derive(Clone)]
pub struct ChildContext {
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) ready: Ready,
}

/// Says that a child is ready.
pub(super) type Ready = Arc<dyn Fn() + Send + Sync>;

impl ChildContext {
    /// Completes when the child is to stop. Then it has the time of [`Child::stop_within`] to bring to an end what it
    /// does; what it returns then makes no difference.
    ///
    /// # Cancel safety
    ///
    /// It only watches.
    pub async fn stopping(&self) {
        // An error says that the child has ended; whatever is left of it is to stop too.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }

    /// Whether the child is to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Says that the child is ready, so that the next one may start. Does nothing unless the child
    /// [waits](Child::waits_until_ready) to say so.
    pub fn ready(&self) {
        (self.ready)();
    }
}

impl fmt::Debug for ChildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildContext").field("is_stopping", &self.is_stopping()).finish_non_exhaustive()
    }
}
