//! A group as those know it who hold it: it lives on when its node opens its store again, whatever runs of it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::ActorRef;
use tokio::sync::watch;

use super::actor::{self, Actors};
use super::family::Order;
use super::plan::Plan;
use super::{Group, GroupEnded, SuperviseError};
use crate::base::ended::NodeEnded;
use crate::base::inside::{self, RootId};

/// What a node keeps of a group: all that it takes to run it again, for those who hold it. Cheap to clone; all clones
/// are the same.
#[derive(Clone)]
pub(crate) struct KeptGroup {
    pub(super) plan: Arc<Plan>,
    life: watch::Sender<Life>,
    now: Arc<Mutex<Now>>,
}

/// What runs of a group now.
#[derive(Default)]
struct Now {
    /// None until it runs, and from when the node begins to open its store again until it runs once more.
    group: Option<ActorRef<Order>>,
    actors: Actors,
    /// Also one that does not run now.
    is_to_stop: bool,
}

/// How far a group has come.
#[derive(Clone, Debug)]
enum Life {
    Starting,
    Started,
    Ended(Result<(), GroupEnded>),
}

impl KeptGroup {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self { plan, life: watch::Sender::new(Life::Starting), now: Arc::default() }
    }

    /// One that has not run.
    ///
    /// # Errors
    ///
    /// What is wrong with its description.
    pub(crate) fn check(group: Group) -> Result<Self, SuperviseError> {
        Ok(Self::new(Plan::check(group)?))
    }

    /// For whoever holds it.
    pub(super) fn handle(&self, id: RootId) -> Supervised {
        let (name, life, now) = (self.plan.path.as_str().into(), self.life.subscribe(), Arc::clone(&self.now));
        Supervised { name, id, life, now }
    }

    /// It begins to run, with these actors in it.
    pub(super) fn begin(&self, group: ActorRef<Order>, actors: Actors) {
        let mut now = lock(&self.now);
        // One that is gone already is heard of as every end is.
        let _ = group.cast(Order::Begin);
        if now.is_to_stop {
            let _ = group.cast(Order::Stop);
        }
        now.group = Some(group);
        now.actors = actors;
    }

    /// Nothing of it runs, until it runs again.
    pub(super) fn rests(&self) {
        let mut now = lock(&self.now);
        now.group = None;
        now.actors = Actors::default();
    }

    /// Whether nothing of it runs.
    pub(crate) fn is_at_rest(&self) -> bool {
        lock(&self.now).group.is_none()
    }

    /// Whether somebody has told it to stop.
    pub(super) fn is_to_stop(&self) -> bool {
        lock(&self.now).is_to_stop
    }

    /// Every child has started once.
    pub(super) fn has_started(&self) {
        self.life.send_if_modified(|life| {
            let is_new = matches!(life, Life::Starting);
            if is_new {
                *life = Life::Started;
            }
            is_new
        });
    }

    /// It will not run again: whoever waits for it is told. The first outcome stays.
    pub(super) fn has_ended(&self, outcome: Result<(), GroupEnded>) {
        self.life.send_if_modified(|life| {
            let is_new = !matches!(life, Life::Ended(_));
            if is_new {
                *life = Life::Ended(outcome);
            }
            is_new
        });
    }

    /// It ends with its node.
    pub(crate) fn end_with_node(&self, why: &NodeEnded) {
        self.has_ended(Err(GroupEnded::Node { group: self.plan.path.clone(), source: why.clone() }));
    }
}

/// A group that a node supervises. Cheap to clone; dropping it stops nothing.
///
/// ```
/// use everpost::{Child, Group, Node};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).start().await?;
/// let waiting = Child::permanent("waiting", |context| async move {
///     context.stopping().await;
///     Ok(())
/// });
/// let group = node.supervise(Group::one_for_one("group").child(waiting)).await?;
/// group.started().await?;
/// group.stop().await?;
/// group.ended().await?; // as it was told to
/// # node.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Supervised {
    name: Arc<str>,
    id: RootId,
    life: watch::Receiver<Life>,
    now: Arc<Mutex<Now>>,
}

impl Supervised {
    /// The name of the group.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Completes when every child has started once, or the group has stopped before.
    ///
    /// # Errors
    ///
    /// [`GroupEnded`]: it has given up before. [`GroupEnded::WaitsForItself`] inside a handler, or inside a task of the
    /// group.
    ///
    /// # Cancel safety
    ///
    /// It only watches.
    pub async fn started(&self) -> Result<(), GroupEnded> {
        self.check_outside()?;
        match self.until(|life| !matches!(life, Life::Starting)).await {
            Life::Ended(outcome) => outcome,
            Life::Starting | Life::Started => Ok(()),
        }
    }

    /// Completes when nothing of the group runs any more: it was stopped, or has given up. A group whose children are
    /// all done goes on, as one without children does.
    ///
    /// # Errors
    ///
    /// [`GroupEnded`] says why it has ended, if it was not told to. [`GroupEnded::WaitsForItself`] inside a handler, or
    /// inside a task of the group.
    ///
    /// # Cancel safety
    ///
    /// It only watches.
    pub async fn ended(&self) -> Result<(), GroupEnded> {
        self.check_outside()?;
        self.over().await
    }

    /// As [`stop`](Self::stop), from within the node.
    pub(super) async fn stopped(&self) -> Result<(), GroupEnded> {
        lock(&self.now).is_to_stop = true;
        self.cast(Order::Stop);
        self.over().await
    }

    pub(super) fn cast(&self, order: Order) {
        if let Some(group) = &lock(&self.now).group {
            // One that is gone has stopped.
            let _ = group.cast(order);
        }
    }

    async fn over(&self) -> Result<(), GroupEnded> {
        match self.until(|life| matches!(life, Life::Ended(_))).await {
            Life::Ended(outcome) => outcome,
            Life::Starting | Life::Started => Ok(()),
        }
    }

    /// Stops the children in reverse order, each within its deadline, and waits until nothing runs any more. The
    /// restarts that count stay stored. May be called again.
    ///
    /// # Errors
    ///
    /// As for [`ended`](Self::ended): it had given up by itself.
    ///
    /// # Cancel safety
    ///
    /// The stop goes on when the future is dropped.
    pub async fn stop(&self) -> Result<(), GroupEnded> {
        self.check_outside()?;
        self.stopped().await
    }

    /// Refuses where the wait would be for the code that waits.
    fn check_outside(&self) -> Result<(), GroupEnded> {
        if inside::is_in_turn() || inside::root_of_task() == Some(self.id) {
            return Err(GroupEnded::WaitsForItself(self.name.to_string()));
        }
        Ok(())
    }

    /// Gives the keyed actors of a group that has ended back to themselves: they handle messages whenever there are
    /// some, as actors do that are no children. Until then, or until a group is supervised that has them as children,
    /// they stay down. Does nothing for an actor whose group, this or another one, has not ended.
    pub fn release(&self) {
        let actors = Arc::clone(&lock(&self.now).actors);
        actors.iter().for_each(actor::release);
    }

    async fn until(&self, condition: impl Fn(&Life) -> bool) -> Life {
        let mut life = self.life.clone();
        let reached = life.wait_for(condition).await.map(|life| life.clone());
        reached.unwrap_or_else(|_| {
            let (group, cause) = (self.name.to_string(), "it has left without a word".to_owned());
            Life::Ended(Err(GroupEnded::Supervisor { group, cause }))
        })
    }
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised")
            .field("name", &self.name)
            .field("life", &*self.life.borrow())
            .finish_non_exhaustive()
    }
}

fn lock(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}
