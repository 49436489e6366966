//! The outermost groups of a node, under one ractor supervisor, and the handles to them.

mod supervisor;

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{ActorId, ActorRef, ActorRuntime};
use rustc_hash::FxHasher;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;

use self::supervisor::{RootsOrder, Supervisor};
use super::actor::{self, Actors, Claims};
use super::family::{Family, Order, Stored};
use super::plan::Plan;
use super::{Group, GroupEnded, SuperviseError, record};
use crate::base::clock::Deadline;
use crate::base::ended::NodeEnded;
use crate::base::inside::{self, RootId};
use crate::base::text::brief;
use crate::shard::Shard;

/// The groups of a node.
#[derive(Default)]
pub(crate) struct Groups {
    registry: Arc<Registry>,
    /// Started with the first group.
    supervisor: OnceCell<ActorRef<RootsOrder>>,
    supervising: Mutex<Option<JoinHandle<()>>>,
}

/// Which groups there are, in the order in which they were given to the node.
#[derive(Default)]
struct Registry(Mutex<Roots>);

#[derive(Default)]
struct Roots {
    closed: bool,
    roots: Vec<Root>,
}

struct Root {
    name: String,
    id: RootId,
    kept: Kept,
    /// None until it runs.
    group: Option<ActorRef<Order>>,
    /// The keyed actors in it.
    actors: Actors,
}

/// What is kept of a group when its node opens its store again: all that it takes to run it again, for those who hold
/// it.
#[derive(Clone)]
pub(crate) struct Kept {
    plan: Arc<Plan>,
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

impl Kept {
    /// It will not run again: whoever waits for it is told.
    pub(crate) fn end_with_node(&self, why: &NodeEnded) {
        let ended = GroupEnded::Node { group: self.plan.path.clone(), source: why.clone() };
        self.life.send_replace(Life::Ended(Err(ended)));
    }
}

impl Groups {
    /// Starts a group; see [`Node::supervise`](crate::Node::supervise).
    pub(crate) async fn supervise(&self, shard: &Arc<Shard>, group: Group) -> Result<Supervised, SuperviseError> {
        let kept = Kept { plan: Plan::check(group)?, life: watch::Sender::new(Life::Starting), now: Arc::default() };
        self.run(shard, kept).await
    }

    /// Runs groups again, in the order in which they were given to the node. One that cannot run has ended.
    pub(crate) async fn run_again(&self, shard: &Arc<Shard>, all: Vec<Kept>) {
        for kept in all {
            if let Err(error) = self.run(shard, kept.clone()).await {
                tracing::error!(
                    node = %shard.name, group = kept.plan.path, error = %brief(&error), event = "group gave up",
                    "it could not run again after the store was opened again, and nothing starts it"
                );
                kept.end_with_node(&NodeEnded::Reopened);
            }
        }
    }

    async fn run(&self, shard: &Arc<Shard>, kept: Kept) -> Result<Supervised, SuperviseError> {
        let plan = Arc::clone(&kept.plan);
        let claim = self.registry.claim(shard, kept)?;
        let actors = Claims::take(shard, &plan).await?;
        let stored = read_stored(shard, &plan).await?;
        for (group, starts) in plan.surprises() {
            let (node, within) = (&shard.name, starts.within);
            tracing::warn!(
                %node, group, starts = starts.starts, ?within, event = "nested budgets",
                "a child may be started this often before the outermost group gives up: budgets of nested groups \
                 multiply"
            );
        }
        let supervisor = self.supervisor(shard).await?;
        let started = claim.kept.life.clone();
        let ready = Arc::new(move || {
            started.send_if_modified(|life| {
                let is_new = matches!(life, Life::Starting);
                if is_new {
                    *life = Life::Started;
                }
                is_new
            });
        });
        let family = Family { shard: Arc::clone(shard), plan: Arc::clone(&plan), ready };
        let spawned = ActorRuntime::spawn_linked(None, family, stored, supervisor.get_cell()).await;
        let (group, _) = spawned.map_err(|error| SuperviseError::Supervisor(error.to_string()))?;
        let life = claim.kept.life.subscribe();
        let now = Arc::clone(&claim.kept.now);
        // From here to the end there is no await: a call that is dropped before has left nothing behind.
        let Some(is_to_stop) = claim.keep(&group, actors) else {
            group.stop(None);
            let _ = supervisor.cast(RootsOrder::Stop);
            return Err(SuperviseError::Stopping);
        };
        // One that is gone already is heard of as every end is.
        let _ = group.cast(Order::Begin);
        if is_to_stop {
            let _ = group.cast(Order::Stop);
        }
        Ok(Supervised { name: plan.path.as_str().into(), id: root_id(shard, &plan.path), life, now })
    }

    /// Takes no more groups, and stops all, the last one first. Those that are not done `within` this time are killed;
    /// their names are returned.
    pub(crate) async fn stop(&self, within: Duration, kill_within: Duration) -> Vec<String> {
        let running = self.registry.close();
        let (deadline, runtime) = (Deadline::after(within), Handle::current());
        let mut late = Vec::new();
        for group in running.iter().rev() {
            if deadline.wait_for(&runtime, group.stopped()).await.is_err() {
                late.push(group);
            }
        }
        let deadline = Deadline::after(kill_within);
        for group in &late {
            group.cast(Order::Kill);
        }
        for group in &late {
            // One that does not even end now never yields; nothing more can be done.
            let _ = deadline.wait_for(&runtime, group.ended()).await;
        }
        self.end_supervisor(deadline).await;
        late.iter().map(|group| group.name().to_owned()).collect()
    }

    /// Takes no more groups, and kills all; returns what it takes to run them again. Whoever waits for them goes on
    /// waiting.
    pub(crate) async fn cut_off(&self, within: Duration) -> Vec<Kept> {
        let (kept, running) = self.registry.part();
        for group in running {
            // One that is gone needs no more.
            let _ = group.cast(Order::Kill);
        }
        self.end_supervisor(Deadline::after(within)).await;
        kept
    }

    /// The node has ended, and every group with its runtime: nobody hears of their ends.
    pub(crate) fn gone(&self, why: &NodeEnded) {
        self.registry.gone(why);
    }

    async fn end_supervisor(&self, deadline: Deadline) {
        if let Some(supervisor) = self.supervisor.get() {
            // One that is gone has nothing left to end.
            let _ = supervisor.cast(RootsOrder::Stop);
        }
        let supervising = lock(&self.supervising).take();
        if let Some(mut supervising) = supervising
            && deadline.wait_for(&Handle::current(), &mut supervising).await.is_err()
        {
            tracing::warn!(event = "task does not yield", "a task of a group does not yield, and cannot be ended");
        }
    }

    async fn supervisor(&self, shard: &Arc<Shard>) -> Result<&ActorRef<RootsOrder>, SuperviseError> {
        let spawn = || async {
            let supervisor = Supervisor { shard: Arc::clone(shard), registry: Arc::clone(&self.registry) };
            let (supervisor, supervising) = ActorRuntime::spawn(None, supervisor, ()).await?;
            *lock(&self.supervising) = Some(supervising);
            Ok(supervisor)
        };
        let spawned = self.supervisor.get_or_try_init(spawn).await;
        spawned.map_err(|error: ractor::SpawnErr| SuperviseError::Supervisor(error.to_string()))
    }
}

impl Registry {
    /// Takes a name, until the claim is dropped or the group has ended.
    fn claim(&self, shard: &Shard, kept: Kept) -> Result<Claim<'_>, SuperviseError> {
        let name = &kept.plan.path;
        let mut registry = lock(&self.0);
        if registry.closed {
            return Err(SuperviseError::Stopping);
        }
        if registry.roots.iter().any(|root| root.name == *name) {
            return Err(SuperviseError::NameInUse(name.clone()));
        }
        registry.roots.push(Root {
            name: name.clone(),
            id: root_id(shard, name),
            kept: kept.clone(),
            group: None,
            actors: Actors::default(),
        });
        Ok(Claim { registry: self, kept })
    }

    /// Takes no more; returns those that run.
    fn close(&self) -> Vec<Supervised> {
        let mut registry = lock(&self.0);
        registry.closed = true;
        let running = registry.roots.iter().filter_map(|root| {
            root.group.as_ref()?;
            let Kept { life, now, .. } = &root.kept;
            let (name, life, now) = (root.name.as_str().into(), life.subscribe(), Arc::clone(now));
            Some(Supervised { name, id: root.id, life, now })
        });
        running.collect()
    }

    /// Takes no more, and lets what it has be nobody's: those who hold the groups hear nothing of their ends here.
    fn part(&self) -> (Vec<Kept>, Vec<ActorRef<Order>>) {
        let mut registry = lock(&self.0);
        registry.closed = true;
        let running = registry.roots.iter_mut().filter_map(|root| {
            let group = root.group.clone()?;
            let nobodys = Kept {
                plan: Arc::clone(&root.kept.plan),
                life: watch::Sender::new(Life::Starting),
                now: Arc::default(),
            };
            let kept = std::mem::replace(&mut root.kept, nobodys);
            let mut now = lock(&kept.now);
            now.group = None;
            now.actors = Actors::default();
            drop(now);
            Some((kept, group))
        });
        running.unzip()
    }

    /// Takes no more, and tells of every group that it has ended with the node.
    fn gone(&self, why: &NodeEnded) {
        let roots = {
            let mut registry = lock(&self.0);
            registry.closed = true;
            std::mem::take(&mut registry.roots)
        };
        roots.iter().for_each(|root| root.kept.end_with_node(why));
    }

    /// A group has ended.
    fn ended(&self, id: ActorId, outcome: impl FnOnce(&str) -> Result<(), GroupEnded>) {
        let ended = |root: &mut Root| root.group.as_ref().is_some_and(|group| group.get_id() == id);
        let root = {
            let mut registry = lock(&self.0);
            let root = registry.roots.extract_if(.., ended).next();
            // In the same step as its name.
            root.iter().flat_map(|root| root.actors.iter()).for_each(|mailbox| actor::leave(mailbox));
            root
        };
        if let Some(root) = root {
            root.kept.life.send_replace(Life::Ended(outcome(&root.name)));
        }
    }

    fn is_empty(&self) -> bool {
        lock(&self.0).roots.iter().all(|root| root.group.is_none())
    }
}

/// The name of a group that is about to run.
struct Claim<'a> {
    registry: &'a Registry,
    kept: Kept,
}

impl Claim<'_> {
    /// The group runs, and the name and the actors are its own; none when the node takes no groups any more. Whether it
    /// was told to stop before.
    fn keep(self, group: &ActorRef<Order>, actors: Claims) -> Option<bool> {
        let mut registry = lock(&self.registry.0);
        if registry.closed {
            return None;
        }
        let root = registry.roots.iter_mut().find(|root| root.name == self.kept.plan.path);
        // None when the node has ended meanwhile.
        let root = root?;
        root.group = Some(group.clone());
        root.actors = actors.keep();
        let mut now = lock(&self.kept.now);
        now.group = Some(group.clone());
        now.actors = Arc::clone(&root.actors);
        Some(now.is_to_stop)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(&self.registry.0).roots.retain(|root| root.name != self.kept.plan.path || root.group.is_some());
    }
}

/// What earlier processes have left of the budgets of a group and of all in it.
async fn read_stored(shard: &Arc<Shard>, plan: &Plan) -> Result<Stored, SuperviseError> {
    let (paths, subjects): (Vec<_>, Vec<_>) =
        plan.groups().into_iter().map(|plan| (plan.path.clone(), plan.subject)).unzip();
    let keys: Vec<_> = subjects.iter().map(|subject| record::key(*subject)).collect();
    let records = shard.store.read_all(keys).await?;
    let mut stored = HashMap::new();
    for ((path, subject), bytes) in paths.into_iter().zip(subjects).zip(records) {
        if let Some(bytes) = bytes {
            stored.insert(subject, record::decode(&bytes).ok_or(SuperviseError::Record(path))?);
        }
    }
    Ok(Arc::new(stored))
}

/// The outermost group of the group at `path`, as its tasks are marked.
pub(super) fn root_id(shard: &Shard, path: &str) -> RootId {
    let root = path.split('/').next().unwrap_or_default();
    let mut hasher = FxHasher::default();
    // Of two nodes of a process that may have groups of one name the stores differ.
    (shard.store.id().0, root).hash(&mut hasher);
    RootId(hasher.finish())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn stopped(&self) -> Result<(), GroupEnded> {
        lock(&self.now).is_to_stop = true;
        self.cast(Order::Stop);
        self.over().await
    }

    fn cast(&self, order: Order) {
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
