//! The node: one process's share of the system. Built, started, used through handles, stopped.

mod builder;
mod clocks;
pub(crate) mod node_file;
mod pause;
mod recover;
mod retention;
mod stop;
mod sweep;
mod timers;
pub(crate) mod upgrade;
mod watch;
pub(crate) mod watchdog;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ractor::ActorRef;
use tokio::task::JoinHandle;

pub use self::builder::{NodeBuilder, StartError};
pub use self::stop::StopError;
use self::stop::Stopping;
use crate::actor::Actor;
use crate::actor::address_of::AddressOf;
use crate::api::dead_letters::DeadLetters;
use crate::api::handle::ActorHandle;
use crate::base::clock::ClockSkew;
use crate::base::ended::NodeEnded;
use crate::base::entered::entered;
use crate::base::inside::is_in_turn;
use crate::core::Core;
use crate::link::{LinkOrder, Links};
use crate::message::address::Address;
use crate::node::node_file::{NodeFile, NodeFileError};
use crate::node::watchdog::Watchdog;
use crate::supervise::group::{Group, Groups, SuperviseError, Supervised};

/// A running node: a store, and the actors that live in it. Cheap to clone; all clones are the same node.
///
/// Dropping the last clone does not stop it: call [`Node::stop`]. A process that just ends loses nothing either, but
/// the next start has the tail of the journal to replay, and the messages in flight to suspect.
///
/// ```
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Deposit>(); }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<i64, Failure> {
/// #         **balance += deposit.cents;
/// #         Ok(**balance)
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
/// let alice = node.actor::<Account>("alice");
/// alice.send(Deposit { cents: 500 }).await?;
/// node.drained().await?; // nothing is left to do
/// assert_eq!(node.statistics().handled, 1);
/// node.stop().await?; // waits for the turns that run, and closes the store
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Node {
    pub(crate) core: Arc<Core>,
    tasks: Arc<Tasks>,
    /// None for a node without a cluster.
    links: Option<Arc<Links>>,
}

/// What runs in the background for a node.
struct Tasks {
    supervisors: Mutex<Vec<JoinHandle<()>>>,
    /// None once the stop has taken them.
    background: Mutex<Option<Vec<JoinHandle<()>>>>,
    /// The outcome of the one stop, once that has begun.
    stopping: OnceLock<Stopping>,
    /// Whether it is over.
    stopped: tokio::sync::watch::Sender<bool>,
    links: Mutex<Option<(ActorRef<LinkOrder>, JoinHandle<()>)>>,
    groups: Groups,
    /// Taken by the stop.
    watchdog: Mutex<Option<Watchdog>>,
}

impl Tasks {
    fn new(watchdog: Watchdog) -> Self {
        Self {
            supervisors: Mutex::default(),
            background: Mutex::new(Some(Vec::new())),
            stopping: OnceLock::new(),
            stopped: tokio::sync::watch::Sender::new(false),
            links: Mutex::default(),
            groups: Groups::default(),
            watchdog: Mutex::new(Some(watchdog)),
        }
    }

    fn set_links(&self, supervisor: ActorRef<LinkOrder>, ended: JoinHandle<()>) {
        *lock(&self.links) = Some((supervisor, ended));
    }

    fn take_links(&self) -> Option<(ActorRef<LinkOrder>, JoinHandle<()>)> {
        lock(&self.links).take()
    }

    fn add_supervisor(&self, task: JoinHandle<()>) {
        lock(&self.supervisors).push(task);
    }

    fn add_background(&self, task: JoinHandle<()>) {
        match &mut *lock(&self.background) {
            Some(background) => background.push(task),
            // The node has ended while it was started.
            None => task.abort(),
        }
    }

    fn end_watchdog(&self) {
        drop(lock(&self.watchdog).take());
    }

    fn take_supervisors(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *lock(&self.supervisors))
    }

    fn take_background(&self) -> Vec<JoinHandle<()>> {
        lock(&self.background).take().unwrap_or_default()
    }
}

fn lock<T>(tasks: &Mutex<T>) -> MutexGuard<'_, T> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a node has done since it was started, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatistics {
    /// Turns that were submitted; all of them are durable once the node is stopped.
    pub handled: u64,
    /// Turns that failed.
    pub failed: u64,
    /// Messages that were given up on.
    pub dead_lettered: u64,
    /// Messages that have expired and were dropped.
    pub expired: u64,
    /// Dead letters that the node itself has dropped: because of their age, or because the newest are kept when there
    /// are too many.
    pub dead_letters_dropped: u64,
    /// Messages that the start found waiting in the store.
    pub replayed: u64,
    /// Volatile messages of other nodes that were dropped when they came, because their mailbox or this node was full.
    pub volatile_dropped: u64,
    /// Activations in memory.
    pub activations: usize,
    /// Mailboxes in memory.
    pub mailboxes: usize,
    /// Messages that wait or are in flight.
    pub waiting: usize,
    /// Messages in the outboxes: accepted here for other nodes, not on their disk yet, and not expired.
    pub outbox: usize,
    /// Timers that this node keeps.
    pub timers: usize,
}

impl Node {
    /// Describes a node called `name` whose store is in the folder `folder`; the folder is made when it is missing.
    ///
    /// See the crate's front page for a whole example.
    pub fn builder(name: &str, folder: impl Into<std::path::PathBuf>) -> NodeBuilder {
        NodeBuilder::new(name, folder.into())
    }

    /// Reads the file of a node: its name, its store, its place in a cluster and its settings. See
    /// `docs/CONFIGURATION.md`.
    ///
    /// # Errors
    ///
    /// [`NodeFileError`] names the key and the line.
    pub fn open(file: impl AsRef<std::path::Path>) -> Result<NodeBuilder, NodeFileError> {
        Ok(NodeFile::read(file.as_ref())?.into())
    }

    /// Where the node listens for others; none without a cluster.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.links.as_ref().map(|links| links.endpoint.local_address())
    }

    /// Whether there is a link to the node `name` now.
    #[must_use]
    pub fn is_linked_to(&self, name: &str) -> bool {
        self.core.cluster.peers().iter().any(|peer| *peer.name == *name && peer.outgoing().is_connected())
    }

    /// How the wall clock of the node `name` differs from that of this one, by what both said when they last met; none
    /// when they have not met since this node was started. It includes the time that a packet took. More than five
    /// seconds is told in the logs of both.
    #[must_use]
    pub fn clock_skew(&self, name: &str) -> Option<ClockSkew> {
        self.core.cluster.peers().iter().find(|peer| *peer.name == *name)?.skew()
    }

    /// The name of the node on which an actor lives, by the configuration of this one.
    #[must_use]
    pub fn owner_of(&self, address: &Address) -> &str {
        self.core.cluster.owner_name(address.actor_type(), address.partition(self.core.store.partitions()))
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// A handle to the actor `key` of the type `A`. Makes nothing and asks nobody: an actor exists as soon as a message
    /// needs it.
    #[must_use]
    pub fn actor<A: Actor>(&self, key: &str) -> ActorHandle<A> {
        ActorHandle::new(Arc::clone(&self.core), AddressOf::new(key))
    }

    /// Starts a group of supervised tasks and actors. Returns when the group runs; its children start in the
    /// background, and [`Supervised::started`] tells when they have. Within a group each is started when the one before
    /// it has started; between the children of two groups no order is promised: where it matters, await
    /// [`Supervised::started`] of the first before the second is supervised. After an unclean end a group with actors
    /// waits until the suspects were tried. [`Node::stop`] stops the groups, the last one first.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`]; nothing of the group runs then.
    ///
    /// # Cancel safety
    ///
    /// Nothing of the group runs when the future is dropped before it is done.
    pub async fn supervise(&self, group: Group) -> Result<Supervised, SuperviseError> {
        if is_in_turn() {
            return Err(SuperviseError::InsideTurn);
        }
        if self.core.gate.is_over() {
            return Err(SuperviseError::Stopping);
        }
        entered(&self.core.programs_runtime, self.tasks.groups.supervise(&self.core, group)).await
    }

    /// The messages that were given up on at this node: to look at, to send again, to drop.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(&self.core)
    }

    /// What the node has done and holds now.
    #[must_use]
    pub fn statistics(&self) -> NodeStatistics {
        let counters = &self.core.counters;
        NodeStatistics {
            handled: self.core.load.handled.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            dead_lettered: counters.dead_lettered.load(Ordering::Relaxed),
            expired: counters.expired.load(Ordering::Relaxed),
            dead_letters_dropped: self.core.dead_letters.dropped(),
            replayed: counters.replayed.load(Ordering::Relaxed),
            volatile_dropped: counters.volatile_dropped.load(Ordering::Relaxed),
            activations: self.core.activations.count(),
            mailboxes: self.core.directory.len(),
            waiting: self.core.waiting(),
            outbox: self.core.cluster.in_outboxes(),
            timers: self.core.timers.len(),
        }
    }

    /// What the store has done since it was opened.
    #[must_use]
    pub fn store_statistics(&self) -> everpost_persistence::Statistics {
        self.core.store.statistics()
    }

    /// Completes when every message is handled or given up on, and that is durable, and every message for another node
    /// is on its disk, and every timer that is due has fired. Messages that are sent meanwhile are waited for too; a
    /// timer that is not due is not.
    ///
    /// # Errors
    ///
    /// [`NodeEnded`]: the node was stopped, or its store failed, before everything was done. What was not done is done
    /// after the next start.
    ///
    /// Inside a handler it is refused ([`NodeEnded::InsideTurn`]): it would wait for the message of that.
    ///
    /// # Cancel safety
    ///
    /// It only watches.
    pub async fn drained(&self) -> Result<(), NodeEnded> {
        if is_in_turn() {
            return Err(NodeEnded::InsideTurn);
        }
        self.core.gate.until(|| self.core.is_drained()).await
    }

    /// Completes when the node does no more work, with the reason: its store has failed, a part of it has panicked that
    /// cannot be started anew ([`NodeEnded::Panicked`] says which, and what that means), the runtime that it was
    /// started on has ended, or it was stopped ([`NodeEnded::Stopped`], which is no failure). Never while the node is
    /// well, but inside a handler at once, with [`NodeEnded::InsideTurn`]: a stop would wait for that.
    ///
    /// From then on whatever is sent is refused, and nothing that was acknowledged is lost: [`stop`](Self::stop) the
    /// node, and start it again, or end the process with an exit code that has it started again. So a program that runs
    /// for long waits for this too:
    ///
    /// ```
    /// # use everpost::Node;
    /// # async fn told_to_end() {}
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let node = Node::builder("bank", folder).start().await?;
    /// let served = tokio::select! {
    ///     failure = node.failed() => Err(failure),
    ///     () = told_to_end() => Ok(()), // Ctrl-C, say
    /// };
    /// // What happened before is told rather than what happens now.
    /// let stopped = node.stop().await;
    /// served?;
    /// Ok(stopped?)
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// It only watches.
    pub async fn failed(&self) -> NodeEnded {
        if is_in_turn() {
            return NodeEnded::InsideTurn;
        }
        match self.core.gate.until(|| false).await {
            Err(why) => why,
            Ok(()) => unreachable!("it waits for nothing else"),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.core.name).finish_non_exhaustive()
    }
}
