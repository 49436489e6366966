//! Putting a node together and starting it.

mod check;
mod error;
mod opening;
mod starting;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument;

pub use self::error::StartError;
use self::opening::once_free;
pub(super) use self::starting::Opening;
use self::starting::{actor_types, blocking, peers};
use super::Node;
use super::host::Host;
use crate::actor::constants::{Unusable, unusable};
use crate::actor::{Actor, Handlers};
use crate::base::caught::{caught, joined};
use crate::base::ended::NodeEnded;
use crate::config::{ClusterConfig, NodeConfig};
use crate::mailbox::actor_type::ActorType;
use crate::node::node_file::NodeFile;
use crate::node::upgrade::UpgradeReport;
use crate::shard::Shard;
use crate::supervise::supervision::{actor_type_of, supervise};
use crate::tables;

/// Describes a node; [`NodeBuilder::start`] starts it. Made by [`Node::builder`].
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
/// # let folder = folder.path();
/// let config = NodeConfig { attempts_max: 3, ..NodeConfig::default() };
/// let node = Node::builder("east", folder).config(config).actor(Account).start().await?;
/// # node.stop().await?;
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    name: String,
    folder: PathBuf,
    config: NodeConfig,
    cluster: Option<ClusterConfig>,
    parts: Vec<Part>,
    quarantine_unhandled: bool,
}

/// An actor type that is to live on the node.
struct Part {
    name: &'static str,
    unusable: Option<Unusable>,
    /// A new one for each time that the store is opened.
    actor_type: Box<dyn Fn() -> ActorType + Send + Sync>,
    supervise: Box<dyn Fn(Arc<Shard>, Arc<ActorType>) -> Supervising + Send + Sync>,
}

type Supervising = Pin<Box<dyn Future<Output = Result<JoinHandle<()>, ractor::SpawnErr>> + Send>>;

impl NodeBuilder {
    pub(super) fn new(name: &str, folder: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            config: NodeConfig::default(),
            cluster: None,
            parts: Vec::new(),
            quarantine_unhandled: false,
        }
    }

    /// Adds an actor type. The value is shared by all of its activations.
    pub fn actor<A: Actor>(mut self, actor: A) -> Self {
        let (actor, handlers) = (Arc::new(actor), Arc::new(Handlers::<A>::of_actor()));
        let of_type = Arc::clone(&handlers);
        let actor_type = Box::new(move || actor_type_of(&of_type));
        let supervise = Box::new(move |shard, actor_type: Arc<ActorType>| -> Supervising {
            let (actor, handlers) = (Arc::clone(&actor), Arc::clone(&handlers));
            Box::pin(async move { supervise(shard, &actor_type, actor, handlers).await })
        });
        self.parts.push(Part { name: A::TYPE, unusable: unusable::<A>(), actor_type, supervise });
        self
    }

    /// Uses these settings instead of the defaults.
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// Makes the node part of a cluster. Without it the node owns every address, and speaks with nobody.
    pub fn cluster(mut self, cluster: ClusterConfig) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Moves waiting messages that nothing in this build handles to the dead letters at the start, with the reason
    /// [`Reason::NotHandled`](crate::Reason::NotHandled), instead of refusing to start. They are kept there as they
    /// are, for a build that knows them.
    ///
    /// Not for every start: a build that lacks an actor by mistake would then give up on all of its messages.
    pub fn quarantine_unhandled(mut self) -> Self {
        self.quarantine_unhandled = true;
        self
    }

    /// Reads everything in the store that this build would have to read one day, with the code of its types: every
    /// waiting message, every state, and the message of every dead letter and timer. Starts nothing, and changes
    /// nothing: the build that wrote the store goes on with it as if nobody had looked. To be asked before a new build
    /// takes traffic.
    ///
    /// A record that panics when it is read is one that cannot be read. One that ends the process ends this check with
    /// it, but no more than once: while it runs there is a file `upgrade-check` in the folder of the store, which says
    /// what is being read. The next check names that record, reads all others, and removes the file, so that the one
    /// after it reads everything again.
    ///
    /// The store must not be in use: one that is, is waited for, five seconds at most. Takes as long as reading all of
    /// it does.
    ///
    /// ```
    /// # use everpost::{Actor, Handlers, Node, State};
    /// # #[derive(Default, serde::Serialize, serde::Deserialize, State)] struct Balance { cents: i64 }
    /// # struct Account;
    /// # impl Actor for Account {
    /// #     const TYPE: &'static str = "account"; type State = Balance;
    /// #     fn handlers(_: &mut Handlers<Self>) {}
    /// # }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// # Node::builder("bank", folder).start().await?.stop().await?;
    /// let bank = Node::builder("bank", folder).actor(Account);
    /// let report = bank.check_upgrade().await?;
    /// if !report.is_clean() {
    ///     return Err(format!("this build cannot take over:\n{report}").into());
    /// }
    /// let node = bank.start().await?;
    /// # node.stop().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StartError`] when settings cannot work, the actor types cannot be on one node, or the store cannot be read;
    /// also when there is none, which [`OpenError::NoStore`](everpost_persistence::OpenError::NoStore) says. What this
    /// build cannot read is no error, but in the report.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when the future is dropped; the store is free again when the read that is under way has ended.
    pub async fn check_upgrade(&self) -> Result<UpgradeReport, StartError> {
        let Self { name, folder, config, cluster, .. } = self;
        if let Some(cluster) = cluster {
            cluster.validate(name)?;
        }
        let actor_types = actor_types(&self.parts)?;
        let (name, folder, config, cluster) = (name.clone(), folder.clone(), config.clone(), cluster.clone());
        let inspected = folder.clone();
        let store = once_free(move || Store::inspect(&inspected, tables::SCHEMA), || false).await?;
        blocking(move || {
            let cluster = peers(&name, cluster.as_ref(), &config, store.partitions().get());
            Ok(check::check(&store, &folder, &actor_types, &cluster)?)
        })
        .await
    }

    /// Opens the store, recovers what it holds and starts handling it. What waits is handled in the background.
    ///
    /// On a machine that was started anew it takes a minute longer when the wall clock says that more than thirty days
    /// have passed since the last run: that clock has to stand first, since all waits end by it.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then, and nothing in the store was lost.
    ///
    /// # Panics
    ///
    /// When [`Actor::handlers`] does; and outside of a tokio runtime, since handlers run on the one that starts the
    /// node.
    ///
    /// # Cancel safety
    ///
    /// A start that is dropped is undone in the background: its store and its address are free again when the step that
    /// is under way has ended. Another start waits for that: a store that is in use is waited for, five seconds at
    /// most.
    pub async fn start(self) -> Result<Node, StartError> {
        let (told, started) = oneshot::channel();
        let starting = tokio::spawn(self.start_for(told).in_current_span());
        match started.await {
            Ok(started) => started.map(Unclaimed::claim),
            Err(_) => {
                joined(starting.await);
                Err(NodeEnded::RuntimeGone.into())
            }
        }
    }

    /// Starts the node for whoever is to be told, in a task of its own: what is begun here is undone here.
    async fn start_for(self, told: oneshot::Sender<Result<Unclaimed, StartError>>) {
        let started = match caught(|| drop(tokio::time::sleep(Duration::ZERO))) {
            Ok(()) => self.open(Opening::First, &|| told.is_closed()).await,
            Err(_) => Err(StartError::NoTimers),
        };
        let started = started.map(|running| Unclaimed(Some(Node { host: Arc::new(Host::new(self, running)) })));
        // Nobody takes it: then it is dropped, and stops.
        drop(told.send(started));
    }
}

/// A node that has started, until whoever started it has taken it. One that nobody takes stops.
struct Unclaimed(Option<Node>);

impl Unclaimed {
    fn claim(mut self) -> Node {
        self.0.take().expect("it is taken once, which takes all of it")
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(node) = self.0.take() {
            tracing::info!(
                node = node.name(),
                event = "start undone",
                "nobody waits for the start any more: it is undone"
            );
            // It goes on by itself.
            drop(node.host.running().begin_stop());
        }
    }
}

impl From<NodeFile> for NodeBuilder {
    fn from(file: NodeFile) -> Self {
        let NodeFile { name, cluster, data, listen, identity, peers, actors, node, link, .. } = file;
        let cluster = ClusterConfig {
            name: cluster,
            listen,
            identity,
            peers: peers.into_iter().map(|(name, peer)| (name, peer.addresses)).collect(),
            actors: actors.into_iter().map(|(name, actor)| (name, actor.nodes)).collect(),
            link,
        };
        Self::new(&name, data).config(node).cluster(cluster)
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actors: Vec<_> = self.parts.iter().map(|part| part.name).collect();
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("actors", &actors)
            .finish_non_exhaustive()
    }
}
