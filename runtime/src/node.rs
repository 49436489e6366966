//! The node: one process's share of the system. Built, started, used through handles, stopped.

mod builder;
mod clocks;
mod host;
pub(crate) mod node_file;
mod pause;
mod recover;
mod reopen;
mod retention;
mod running;
mod stop;
mod sweep;
mod timers;
pub(crate) mod upgrade;
mod watch;
pub(crate) mod watchdog;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::builder::{NodeBuilder, StartError};
use self::host::Host;
pub use self::reopen::ReopenError;
use self::running::Running;
pub use self::stop::StopError;
use crate::actor::Actor;
use crate::actor::address_of::AddressOf;
use crate::api::dead_letters::DeadLetters;
use crate::api::handle::ActorHandle;
use crate::base::clock::ClockSkew;
use crate::base::ended::NodeEnded;
use crate::base::entered::entered;
use crate::base::inside::is_in_turn;
use crate::message::address::Address;
use crate::node::node_file::{NodeFile, NodeFileError};
use crate::shard::Shard;
use crate::supervise::group::{Group, KeptGroup, SuperviseError, Supervised};

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
    host: Arc<Host>,
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
    /// The shard that the node has now.
    pub(crate) fn shard(&self) -> Arc<Shard> {
        self.host.current.get()
    }

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
        self.host.address
    }

    /// Whether there is a link to the node `name` now.
    #[must_use]
    pub fn is_linked_to(&self, name: &str) -> bool {
        self.shard().cluster.peers().iter().any(|peer| *peer.name == *name && peer.outgoing().is_connected())
    }

    /// How the wall clock of the node `name` differs from that of this one, by what both said when they last met; none
    /// when they have not met since this node was started. It includes the time that a packet took. More than five
    /// seconds is told in the logs of both.
    #[must_use]
    pub fn clock_skew(&self, name: &str) -> Option<ClockSkew> {
        self.shard().cluster.peers().iter().find(|peer| *peer.name == *name)?.skew()
    }

    /// The name of the node on which an actor lives, by the configuration of this one.
    #[must_use]
    pub fn owner_of(&self, address: &Address) -> String {
        let shard = self.shard();
        shard.cluster.owner_name(address.actor_type(), address.partition(shard.store.partitions())).to_owned()
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// A handle to the actor `key` of the type `A`. Makes nothing and asks nobody: an actor exists as soon as a message
    /// needs it.
    #[must_use]
    pub fn actor<A: Actor>(&self, key: &str) -> ActorHandle<A> {
        ActorHandle::new(self.host.current.clone(), AddressOf::new(key))
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
        let group = KeptGroup::check(group)?;
        loop {
            // Once the store is not being opened again: what runs then is what the group is part of.
            let Running { shard, tasks, .. } = self.host.at_rest(Clone::clone).await;
            let supervised = match shard.gate.is_over() {
                true => Err(SuperviseError::Stopping),
                false => entered(&shard.programs_runtime, tasks.groups.run(&shard, group.clone())).await,
            };
            match supervised {
                // The store was left while the group was about to run, which may be why, whatever the error is.
                Err(_) if self.host.has_replaced(&shard).await => {}
                supervised => return supervised,
            }
        }
    }

    /// The messages that were given up on at this node: to look at, to send again, to drop.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.host.current.clone())
    }

    /// What the node has done and holds now.
    #[must_use]
    pub fn statistics(&self) -> NodeStatistics {
        let shard = self.shard();
        let counters = &shard.counters;
        NodeStatistics {
            handled: shard.load.handled.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            dead_lettered: counters.dead_lettered.load(Ordering::Relaxed),
            expired: counters.expired.load(Ordering::Relaxed),
            dead_letters_dropped: shard.dead_letters.dropped(),
            replayed: counters.replayed.load(Ordering::Relaxed),
            volatile_dropped: counters.volatile_dropped.load(Ordering::Relaxed),
            activations: shard.activations.count(),
            mailboxes: shard.directory.len(),
            waiting: shard.waiting(),
            outbox: shard.cluster.in_outboxes(),
            timers: shard.timers.len(),
        }
    }

    /// What the store has done since it was opened.
    #[must_use]
    pub fn store_statistics(&self) -> everpost_persistence::Statistics {
        self.shard().store.statistics()
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
        loop {
            let shard = self.shard();
            match shard.gate.until(|| shard.is_drained()).await {
                Err(NodeEnded::Reopened) if self.host.has_replaced(&shard).await => {}
                drained => return drained,
            }
        }
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
        loop {
            let shard = self.shard();
            match shard.gate.over().await {
                NodeEnded::Reopened if self.host.has_replaced(&shard).await => {}
                why => return why,
            }
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.host.name).finish_non_exhaustive()
    }
}
