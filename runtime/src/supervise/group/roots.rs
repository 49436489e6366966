//! The outermost groups of a node, under one ractor supervisor.

mod supervisor;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{ActorId, ActorRef, ActorRuntime};
use rustc_hash::FxHasher;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use self::supervisor::{RootsOrder, Supervisor};
use super::actor::{self, Actors, Claims};
use super::family::{Family, Order, Stored};
use super::plan::Plan;
use super::supervised::{KeptGroup, Supervised};
use super::{GroupEnded, SuperviseError, record};
use crate::base::clock::Deadline;
use crate::base::ended::NodeEnded;
use crate::base::inside::RootId;
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
    kept: KeptGroup,
    /// None until it runs.
    group: Option<ActorRef<Order>>,
    /// The keyed actors in it.
    actors: Actors,
}

impl Groups {
    /// Runs groups again, in the order in which they were given to the node. One that cannot run has ended, and so has
    /// one that was told to stop before.
    pub(crate) async fn run_again(&self, shard: &Arc<Shard>, all: &[KeptGroup]) {
        for kept in all {
            if kept.is_to_stop() {
                kept.has_ended(Ok(()));
                continue;
            }
            if let Err(error) = self.run(shard, kept.clone()).await {
                tracing::error!(
                    node = %shard.name, group = kept.plan.path, error = %brief(&error), event = "group gave up",
                    "it could not run again after the store was opened again, and nothing starts it"
                );
                kept.end_with_node(&NodeEnded::Reopened);
            }
        }
    }

    /// Runs a group; see [`Node::supervise`](crate::Node::supervise).
    pub(crate) async fn run(&self, shard: &Arc<Shard>, kept: KeptGroup) -> Result<Supervised, SuperviseError> {
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
        let started = claim.kept.clone();
        let ready = Arc::new(move || started.has_started());
        let family = Family { shard: Arc::clone(shard), plan: Arc::clone(&plan), ready };
        let spawned = ActorRuntime::spawn_linked(None, family, stored, supervisor.get_cell()).await;
        let (group, _) = spawned.map_err(|error| SuperviseError::Supervisor(error.to_string()))?;
        let supervised = claim.kept.handle(root_id(shard, &plan.path));
        // From here to the end there is no await: a call that is dropped before has left nothing behind.
        if claim.keep(group.clone(), actors) {
            return Ok(supervised);
        }
        group.stop(None);
        let _ = supervisor.cast(RootsOrder::Stop);
        Err(SuperviseError::Stopping)
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

    /// Takes no more groups, and hears of no more ends; returns what it takes to run its groups again, whose holders go
    /// on waiting.
    pub(crate) fn detach(&self) -> Vec<KeptGroup> {
        self.registry.detach()
    }

    /// Kills all groups.
    pub(crate) async fn kill(&self, within: Duration) {
        for group in self.registry.running() {
            // One that is gone needs no more.
            let _ = group.cast(Order::Kill);
        }
        self.end_supervisor(Deadline::after(within)).await;
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
    fn claim(&self, shard: &Shard, kept: KeptGroup) -> Result<Claim<'_>, SuperviseError> {
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
        let running = registry.roots.iter().filter(|root| root.group.is_some());
        running.map(|root| root.kept.handle(root.id)).collect()
    }

    /// Takes no more, and lets those that run be nobody's: those who hold them hear nothing of their ends here.
    fn detach(&self) -> Vec<KeptGroup> {
        let mut registry = lock(&self.0);
        if std::mem::replace(&mut registry.closed, true) {
            // It was done before: what is left here is nobody's.
            return Vec::new();
        }
        let running = registry.roots.iter_mut().filter(|root| root.group.is_some());
        let kept = running.map(|root| {
            let nobodys = KeptGroup::new(Arc::clone(&root.kept.plan));
            let kept = std::mem::replace(&mut root.kept, nobodys);
            kept.rests();
            kept
        });
        kept.collect()
    }

    fn running(&self) -> Vec<ActorRef<Order>> {
        lock(&self.0).roots.iter().filter_map(|root| root.group.clone()).collect()
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
            root.kept.has_ended(outcome(&root.name));
        }
    }

    fn is_empty(&self) -> bool {
        lock(&self.0).roots.iter().all(|root| root.group.is_none())
    }
}

/// The name of a group that is about to run.
struct Claim<'a> {
    registry: &'a Registry,
    kept: KeptGroup,
}

impl Claim<'_> {
    /// The group begins, and the name and the actors are its own. False when the node takes no groups any more.
    fn keep(self, group: ActorRef<Order>, actors: Claims) -> bool {
        let mut registry = lock(&self.registry.0);
        if registry.closed {
            return false;
        }
        // None when the node has ended meanwhile.
        let Some(root) = registry.roots.iter_mut().find(|root| root.name == self.kept.plan.path) else { return false };
        root.group = Some(group.clone());
        root.actors = actors.keep();
        self.kept.begin(group, Arc::clone(&root.actors));
        true
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
