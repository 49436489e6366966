//! Putting a node together and starting it.

mod check;
mod error;
mod opening;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::tables;
use everpost_persistence::{OpenError, Opened, Position, Slots, Store};
use everpost_transport::{Endpoint, Identity, Settings};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument;

pub use self::error::StartError;
use self::opening::once_free;
use super::recover::{self, Recovered};
use super::stop::Lifeline;
use super::{Node, Tasks, clocks, retention, sweep, watch};
use crate::actor::constants::{Unusable, unusable};
use crate::actor::{Actor, Handlers};
use crate::base::caught::{caught, joined};
use crate::base::ended::NodeEnded;
use crate::base::entered::entered;
use crate::base::marks::Marks;
use crate::base::own_runtime::OwnRuntime;
use crate::cluster::{Cluster, receiver_type_of};
use crate::config::{ClusterConfig, IdentityFiles, NodeConfig};
use crate::core::gate::Gate;
use crate::core::{Core, OpenedStore, services};
use crate::engine::crowding;
use crate::engine::expiry::expire_messages;
use crate::engine::quarantine::{self, Trials};
use crate::engine::timers::fire_timers;
use crate::engine::wheel;
use crate::link::introduction;
use crate::link::resumption;
use crate::link::{self, LinkOrder, Links};
use crate::mailbox::actor_type::ActorType;
use crate::node::node_file::NodeFile;
use crate::node::upgrade::UpgradeReport;
use crate::node::watchdog::Watchdog;
use crate::supervise::supervision::actor_type_of;
use crate::supervise::supervision::supervise;

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
    actor_type: Arc<ActorType>,
    unusable: Option<Unusable>,
    supervise: Box<dyn FnOnce(Arc<Core>, Arc<ActorType>) -> Supervising + Send + Sync>,
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
        let handlers = Arc::new(Handlers::<A>::of_actor());
        let actor_type = Arc::new(actor_type_of(&handlers));
        let supervise = Box::new(move |core, actor_type: Arc<ActorType>| -> Supervising {
            Box::pin(async move { supervise(core, &actor_type, Arc::new(actor), handlers).await })
        });
        self.parts.push(Part { actor_type, unusable: unusable::<A>(), supervise });
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
    /// also when there is none, which [`OpenError::NoStore`] says. What this build cannot read is no error, but in the
    /// report.
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
            Ok(()) => self.run(&|| told.is_closed()).await,
            Err(_) => Err(StartError::NoTimers),
        };
        let started = started.map(|node| Unclaimed(Some(node)));
        // Nobody takes it: then it is dropped, and stops.
        drop(told.send(started));
    }

    /// `is_cut_off` tells that nobody wants the node any more.
    async fn run(self, is_cut_off: &(dyn Fn() -> bool + Send + Sync)) -> Result<Node, StartError> {
        let Self { name, folder, mut config, cluster, parts, quarantine_unhandled } = self;
        config.validate()?;
        // From here on there is one number.
        config.message_bytes_max = config.message_bytes_limit();
        if let Some(cluster) = &cluster {
            cluster.validate(&name)?;
        }
        // Before anything is opened: certificates that are not right are the likeliest trouble.
        let identity = cluster.as_ref().map(|cluster| identify(&cluster.identity)).transpose()?;
        let actor_types = actor_types(&parts)?;
        let own_runtime = OwnRuntime::start().map_err(StartError::NoThread)?;
        // Told of commits once it is there.
        let core = Arc::new(OnceLock::<Weak<Core>>::new());
        let told = Arc::clone(&core);
        let store_config = config.store.clone();
        let open = move || -> Result<_, OpenError> {
            let told = Arc::clone(&told);
            let committed = move || {
                if let Some(core) = told.get().and_then(Weak::upgrade) {
                    core.committed();
                }
            };
            let (store, opened) = Store::open(&folder, store_config.clone(), tables::SCHEMA, committed)?;
            let (slots, in_flight) = Slots::open(&folder)?;
            store.watch(Slots::FILE_NAME)?;
            Ok((store, opened, slots, in_flight))
        };
        let (store, opened, slots, in_flight) = once_free(open, is_cut_off).await?;
        if is_cut_off() {
            return Err(cut_off(store).await);
        }
        let gate = Gate::new(store.clone());
        let marks = Marks::new(slots, store.epoch().nonce);
        tell_of_opened(&name, &opened, config.message_bytes_max);
        let partitions = store.partitions().get();
        let peers = peers(&name, cluster.as_ref(), &config, partitions);
        let first = Position(opened.durable.0 + 1);
        let noted = store.clone();
        let note = blocking(move || clocks::last_note(&noted)).await?;
        let Some(clock) = clocks::resume(&name, note, is_cut_off).await else { return Err(cut_off(store).await) };
        let clock = Arc::new(clock);
        if let Some(identity) = &identity {
            // By the clock that is believed: one that was set just now spoils no certificate.
            identity.check(&name, clock.wall().into())?;
        }
        let opened = OpenedStore { clock, store, gate, marks, first, own_runtime };
        let (told, core) = (core, Arc::new(Core::new(name.into(), config, peers, actor_types, opened)));
        told.get_or_init(|| Arc::downgrade(&core));
        // Before anything else holds on to the store, so that it is free again if this fails.
        let recovering = Arc::clone(&core);
        let recover = move || recover::recover(&recovering, &in_flight, quarantine_unhandled);
        let recovered = blocking(recover).await?;
        start(core, parts, recovered, cluster.zip(identity)).await
    }
}

fn tell_of_opened(node: &str, opened: &Opened, message_bytes_max: usize) {
    let Opened { clean, replayed_groups, .. } = opened;
    tracing::info!(
        node,
        clean,
        replayed_groups,
        message_bytes_max,
        event = "store opened",
        "what it holds is recovered now"
    );
}

/// Nobody wants the node any more: its store is closed.
async fn cut_off(store: Store) -> StartError {
    match tokio::task::spawn_blocking(move || store.close()).await {
        Ok(Ok(())) => NodeEnded::Stopped.into(),
        Ok(Err(error)) => NodeEnded::Failed(error).into(),
        Err(_) => NodeEnded::RuntimeGone.into(),
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
            drop(node.begin_stop());
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

async fn start(
    core: Arc<Core>,
    parts: Vec<Part>,
    recovered: Recovered,
    cluster: Option<(ClusterConfig, Identity)>,
) -> Result<Node, StartError> {
    let links = match cluster {
        Some((cluster, identity)) => {
            let clock = Arc::clone(&core.clock);
            let identity = identity.with_clock(move || clock.wall().into());
            Some((bind(&core, cluster, &identity)?, identity))
        }
        None => None,
    };
    let watchdog = Watchdog::start(&core).map_err(StartError::NoThread)?;
    let renewing = links.clone().map(|(links, identity)| {
        core.serve(&services::CERTIFICATES, move |_| link::renew(Arc::clone(&links), identity.clone()))
    });
    let links = links.map(|(links, _)| links);
    let background = [
        core.serve(&services::SWEEPER, sweep::sweep),
        core.serve(&services::RETENTION, retention::retain),
        core.serve(&services::CLOCKS, clocks::watch),
        core.serve(&services::WATCH, watch::watch),
        core.serve(&services::ACTIVATIONS, crowding::keep_moving),
        core.serve(&services::WHEEL, wheel::turn),
    ];
    let node = Node { core, tasks: Arc::new(Tasks::new(watchdog)), links };
    background.into_iter().chain(renewing).for_each(|task| node.tasks.add_background(task));
    // Not one of those that the stop cuts off: it goes on until everything has left.
    drop(node.core.serve(&services::GATE, |core| async move {
        core.gate.run(|effect| core.release(effect)).await;
        core.store_failed();
    }));
    Lifeline::tie(&node);
    if let Err(error) = begin(&node, parts, recovered).await {
        // The first error is the one that matters.
        let _ = node.stopped().await;
        return Err(error);
    }
    Ok(node)
}

/// Starts the supervisors, and what waits in the store.
async fn begin(node: &Node, parts: Vec<Part>, recovered: Recovered) -> Result<(), StartError> {
    let core = &node.core;
    // Before everything that lies on the timeline.
    clocks::note(core);
    let Recovered { suspects, unhandled } = recovered;
    unhandled.give_up(core).await?;
    for part in parts {
        let name = format!("supervisor of `{}`", part.actor_type.name);
        let supervisor = (part.supervise)(Arc::clone(core), part.actor_type).await;
        let ended = supervisor.map_err(|error| StartError::Supervisor(error.to_string()))?;
        node.tasks.add_supervisor(core.watch_supervisor(name, services::SUPERVISOR_MEANS, false, ended));
    }
    let suspects = if suspects.is_empty() { Trials::default() } else { quarantine::single_out(core, suspects).await? };
    if let Some(links) = &node.links {
        introduction::note_run(core).await?;
        resumption::note_apart(core);
        let supervised = entered(core.own_runtime.handle(), link::supervise(Arc::clone(links))).await;
        let (supervisor, ended) = supervised.map_err(|error| StartError::Supervisor(error.to_string()))?;
        let ended = core.watch_supervisor(services::LINKS.name.to_owned(), services::LINKS.means, true, ended);
        node.tasks.set_links(supervisor.clone(), ended);
        if core.is_stopping() {
            // A stop that came before has not found it.
            drop(supervisor.cast(LinkOrder::Stop));
        }
    }
    node.tasks.add_background(core.serve(&services::TIMERS, fire_timers));
    node.tasks.add_background(core.serve(&services::EXPIRY, expire_messages));
    let waking = Arc::clone(core);
    node.tasks.add_background(core.begin("waking", async move {
        // When the node ends there is nothing left to wake.
        if quarantine::try_alone(&waking, suspects).await.is_ok() {
            recover::wake_all(&waking).await;
        }
    }));
    Ok(())
}

/// Where actors live.
fn peers(name: &str, cluster: Option<&ClusterConfig>, config: &NodeConfig, partitions: u16) -> Cluster {
    match cluster {
        Some(cluster) => Cluster::new(name, cluster, config, partitions),
        None => Cluster::alone(name, partitions),
    }
}

/// The node's certificate, from its files.
fn identify(files: &IdentityFiles) -> Result<Identity, StartError> {
    Ok(Identity::load(&files.certificate, &files.key, &files.authority)?)
}

fn bind(core: &Arc<Core>, cluster: ClusterConfig, identity: &Identity) -> Result<Arc<Links>, StartError> {
    let settings = Settings {
        listen: cluster.listen,
        keep_alive: cluster.link.keep_alive,
        idle_timeout: cluster.link.idle_timeout,
        streams: cluster.link.streams,
        message_bytes_max: core.config.message_bytes_max,
        handshake_timeout: cluster.link.handshake_cap,
        known: cluster.peers.values().flatten().map(SocketAddr::ip).collect(),
    };
    let _entered = core.own_runtime.handle().enter();
    let endpoint = Endpoint::bind(&settings, identity, cluster.peers.into_keys())?;
    tracing::info!(node = %core.name, address = %endpoint.local_address(), event = "listening", "peers may connect");
    Ok(Arc::new(Links { core: Arc::clone(core), endpoint, config: cluster.link }))
}

fn actor_types(parts: &[Part]) -> Result<FxHashMap<&'static str, Arc<ActorType>>, StartError> {
    let mut actor_types: FxHashMap<&'static str, Arc<ActorType>> = FxHashMap::default();
    for Part { actor_type, unusable, .. } in parts {
        if let Some(Unusable { constant, reason }) = *unusable {
            return Err(StartError::Constant { actor_type: actor_type.name, constant, reason });
        }
        let mut others = actor_types.keys().copied().filter(|other| *other != actor_type.name);
        if let Some(other) = others.find(|other| receiver_type_of(other) == receiver_type_of(actor_type.name)) {
            return Err(StartError::SameReceiverType(actor_type.name, other));
        }
        if actor_types.insert(actor_type.name, Arc::clone(actor_type)).is_some() {
            return Err(StartError::TwoActors(actor_type.name));
        }
    }
    Ok(actor_types)
}

async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.expect("opening does not panic, and the runtime is running")
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actors: Vec<_> = self.parts.iter().map(|part| part.actor_type.name).collect();
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("actors", &actors)
            .finish_non_exhaustive()
    }
}
