//! From a description to what runs: the store is opened, what it holds is recovered, and then everything that works on
//! it begins. The same whether a node starts or opens its store again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use everpost_persistence::{Config, Mark, OpenError, Opened, Position, Slots, Store};
use everpost_transport::{Endpoint, Identity, Settings};
use rustc_hash::FxHashMap;

use super::opening::once_free;
use super::{NodeBuilder, Part, StartError};
use crate::actor::constants::Unusable;
use crate::base::clock::Clock;
use crate::base::ended::NodeEnded;
use crate::base::entered::entered;
use crate::base::marks::Marks;
use crate::base::own_runtime::OwnRuntime;
use crate::cluster::{Cluster, receiver_type_of};
use crate::config::{ClusterConfig, IdentityFiles, NodeConfig};
use crate::engine::crowding;
use crate::engine::expiry::expire_messages;
use crate::engine::quarantine::{self, Trials};
use crate::engine::timers::fire_timers;
use crate::engine::wheel;
use crate::link::introduction;
use crate::link::resumption;
use crate::link::{self, LinkOrder, Links};
use crate::mailbox::actor_type::ActorType;
use crate::node::recover::{self, Recovered};
use crate::node::running::{Running, Tasks};
use crate::node::stop::Lifeline;
use crate::node::watchdog::Watchdog;
use crate::node::{clocks, retention, sweep, watch};
use crate::shard::gate::Gate;
use crate::shard::{OpenedStore, Shard, services};
use crate::tables;

/// How often an address is tried that a node had before: whoever has the last handle of its endpoint lets go of it in
/// the background.
const TRIES: u32 = 250;
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Which opening of its store a node begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Opening {
    /// The first one of this process.
    First,
    /// Another one. The process has not died, so nobody is suspected of its death; and peers find the node where it
    /// was.
    Again { address: Option<SocketAddr> },
}

impl NodeBuilder {
    /// Opens the store, recovers what it holds, and starts to handle it. `is_cut_off` tells that nobody wants the node
    /// any more.
    pub(in crate::node) async fn open(
        &self,
        opening: Opening,
        is_cut_off: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Running, StartError> {
        let Self { name, folder, config, cluster, parts, quarantine_unhandled } = self;
        let (mut config, mut cluster) = (config.clone(), cluster.clone());
        config.validate()?;
        // From here on there is one number.
        config.message_bytes_max = config.message_bytes_limit();
        if let (Some(cluster), Opening::Again { address: Some(address) }) = (&mut cluster, opening) {
            cluster.listen = address;
        }
        if let Some(cluster) = &cluster {
            cluster.validate(name)?;
        }
        // Before anything is opened: certificates that are not right are the likeliest trouble.
        let identity = cluster.as_ref().map(|cluster| identify(&cluster.identity)).transpose()?;
        let actor_types = actor_types(parts)?;
        let own_runtime = OwnRuntime::start().map_err(StartError::NoThread)?;
        // Told of commits once it is there.
        let told = Arc::new(OnceLock::<Weak<Shard>>::new());
        let open = opener(folder.clone(), config.store.clone(), &told);
        let (store, opened, slots, in_flight) = once_free(open, is_cut_off).await?;
        if is_cut_off() {
            return Err(cut_off(store).await);
        }
        tell_of_opened(name, &opened, config.message_bytes_max);
        let gate = Gate::new(store.clone());
        let marks = Marks::new(slots, store.epoch().nonce);
        let peers = peers(name, cluster.as_ref(), &config, store.partitions().get());
        let first = Position(opened.durable.0 + 1);
        let Some(clock) = resumed_clock(name, &store, is_cut_off).await? else { return Err(cut_off(store).await) };
        if let Some(identity) = &identity {
            // By the clock that is believed: one that was set just now spoils no certificate.
            identity.check(name, clock.wall().into())?;
        }
        let opened = OpenedStore { clock, store, gate, marks, first, own_runtime };
        let shard = Arc::new(Shard::new(name.as_str().into(), config, peers, actor_types, opened));
        told.get_or_init(|| Arc::downgrade(&shard));
        // Before anything else holds on to the store, so that it is free again if this fails.
        let (recovering, quarantine_unhandled) = (Arc::clone(&shard), *quarantine_unhandled);
        let in_flight = if opening == Opening::First { in_flight } else { Vec::new() };
        let recovered = blocking(move || recover::recover(&recovering, &in_flight, quarantine_unhandled)).await?;
        start(shard, parts, recovered, opening, cluster.zip(identity)).await
    }
}

/// What opening a store brings: it, what the opening found, the slots, and what was in flight when the process before
/// died.
type StoreAndSlots = (Store, Opened, Slots, Vec<Mark>);

fn opener(
    folder: PathBuf,
    config: Config,
    shard: &Arc<OnceLock<Weak<Shard>>>,
) -> impl Fn() -> Result<StoreAndSlots, OpenError> + Clone + Send + 'static {
    let shard = Arc::clone(shard);
    move || {
        let shard = Arc::clone(&shard);
        let committed = move || {
            if let Some(shard) = shard.get().and_then(Weak::upgrade) {
                shard.committed();
            }
        };
        let (store, opened) = Store::open(&folder, config.clone(), tables::SCHEMA, committed)?;
        let (slots, in_flight) = Slots::open(&folder)?;
        store.watch(Slots::FILE_NAME)?;
        Ok((store, opened, slots, in_flight))
    }
}

/// The clock of the store, which goes on from where it was; none when nobody wants the node any more.
async fn resumed_clock(
    name: &str,
    store: &Store,
    is_cut_off: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Option<Arc<Clock>>, StartError> {
    let noted = store.clone();
    let note = blocking(move || clocks::last_note(&noted)).await?;
    Ok(clocks::resume(name, note, is_cut_off).await.map(Arc::new))
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

async fn start(
    shard: Arc<Shard>,
    parts: &[Part],
    recovered: Recovered,
    opening: Opening,
    cluster: Option<(ClusterConfig, Identity)>,
) -> Result<Running, StartError> {
    let links = match cluster {
        Some((cluster, identity)) => {
            let clock = Arc::clone(&shard.clock);
            let identity = identity.with_clock(move || clock.wall().into());
            Some((bind(&shard, cluster, &identity, opening).await?, identity))
        }
        None => None,
    };
    let watchdog = Watchdog::start(&shard).map_err(StartError::NoThread)?;
    let renewing = links.clone().map(|(links, identity)| {
        shard.serve(&services::CERTIFICATES, move |_| link::renew(Arc::clone(&links), identity.clone()))
    });
    let links = links.map(|(links, _)| links);
    let background = [
        shard.serve(&services::SWEEPER, sweep::sweep),
        shard.serve(&services::RETENTION, retention::retain),
        shard.serve(&services::CLOCKS, clocks::watch),
        shard.serve(&services::WATCH, watch::watch),
        shard.serve(&services::ACTIVATIONS, crowding::keep_moving),
        shard.serve(&services::WHEEL, wheel::turn),
    ];
    let running = Running { shard, tasks: Arc::new(Tasks::new(watchdog)), links };
    background.into_iter().chain(renewing).for_each(|task| running.tasks.add_background(task));
    // Not one of those that the stop cuts off: it goes on until everything has left.
    drop(running.shard.serve(&services::GATE, |shard| async move {
        shard.gate.run(|effect| shard.release(effect)).await;
        shard.store_failed();
    }));
    Lifeline::tie(&running);
    if let Err(error) = begin(&running, parts, recovered).await {
        // The first error is the one that matters.
        let _ = running.stopped().await;
        return Err(error);
    }
    Ok(running)
}

/// Starts the supervisors, and what waits in the store.
async fn begin(running: &Running, parts: &[Part], recovered: Recovered) -> Result<(), StartError> {
    let Running { shard, tasks, links } = running;
    // Before everything that lies on the timeline.
    clocks::note(shard);
    let Recovered { suspects, unhandled } = recovered;
    unhandled.give_up(shard).await?;
    for part in parts {
        let name = format!("supervisor of `{}`", part.name);
        let supervisor = (part.supervise)(Arc::clone(shard), Arc::clone(&shard.actor_types[part.name])).await;
        let ended = supervisor.map_err(|error| StartError::Supervisor(error.to_string()))?;
        tasks.add_supervisor(shard.watch_supervisor(name, services::SUPERVISOR_MEANS, false, ended));
    }
    let suspects =
        if suspects.is_empty() { Trials::default() } else { quarantine::single_out(shard, suspects).await? };
    if let Some(links) = links {
        introduction::note_run(shard).await?;
        resumption::note_apart(shard);
        let supervised = entered(shard.own_runtime.handle(), link::supervise(Arc::clone(links))).await;
        let (supervisor, ended) = supervised.map_err(|error| StartError::Supervisor(error.to_string()))?;
        let ended = shard.watch_supervisor(services::LINKS.name.to_owned(), services::LINKS.means, true, ended);
        tasks.set_links(supervisor.clone(), ended);
        if shard.is_stopping() {
            // A stop that came before has not found it.
            drop(supervisor.cast(LinkOrder::Stop));
        }
    }
    tasks.add_background(shard.serve(&services::TIMERS, fire_timers));
    tasks.add_background(shard.serve(&services::EXPIRY, expire_messages));
    let waking = Arc::clone(shard);
    tasks.add_background(shard.begin("waking", async move {
        // When the node ends there is nothing left to wake.
        if quarantine::try_alone(&waking, suspects).await.is_ok() {
            recover::wake_all(&waking).await;
        }
    }));
    Ok(())
}

/// Where actors live.
pub(super) fn peers(name: &str, cluster: Option<&ClusterConfig>, config: &NodeConfig, partitions: u16) -> Cluster {
    match cluster {
        Some(cluster) => Cluster::new(name, cluster, config, partitions),
        None => Cluster::alone(name, partitions),
    }
}

/// The node's certificate, from its files.
fn identify(files: &IdentityFiles) -> Result<Identity, StartError> {
    Ok(Identity::load(&files.certificate, &files.key, &files.authority)?)
}

async fn bind(
    shard: &Arc<Shard>,
    cluster: ClusterConfig,
    identity: &Identity,
    opening: Opening,
) -> Result<Arc<Links>, StartError> {
    let settings = Settings {
        listen: cluster.listen,
        keep_alive: cluster.link.keep_alive,
        idle_timeout: cluster.link.idle_timeout,
        streams: cluster.link.streams,
        message_bytes_max: shard.config.message_bytes_max,
        handshake_timeout: cluster.link.handshake_cap,
        known: cluster.peers.values().flatten().map(SocketAddr::ip).collect(),
    };
    let mut tries = if opening == Opening::First { 1 } else { TRIES };
    let endpoint = loop {
        tries -= 1;
        let bound = {
            let _entered = shard.own_runtime.handle().enter();
            Endpoint::bind(&settings, identity, cluster.peers.keys().cloned())
        };
        match bound {
            Err(_) if tries > 0 => tokio::time::sleep(TRY_EVERY).await,
            bound => break bound?,
        }
    };
    tracing::info!(node = %shard.name, address = %endpoint.local_address(), event = "listening", "peers may connect");
    Ok(Arc::new(Links { shard: Arc::clone(shard), endpoint, config: cluster.link }))
}

pub(super) fn actor_types(parts: &[Part]) -> Result<FxHashMap<&'static str, Arc<ActorType>>, StartError> {
    let mut actor_types: FxHashMap<&'static str, Arc<ActorType>> = FxHashMap::default();
    for Part { name, unusable, actor_type, .. } in parts {
        if let Some(Unusable { constant, reason }) = *unusable {
            return Err(StartError::Constant { actor_type: name, constant, reason });
        }
        let mut others = actor_types.keys().copied().filter(|other| other != name);
        if let Some(other) = others.find(|other| receiver_type_of(other) == receiver_type_of(name)) {
            return Err(StartError::SameReceiverType(name, other));
        }
        if actor_types.insert(name, Arc::new(actor_type())).is_some() {
            return Err(StartError::TwoActors(name));
        }
    }
    Ok(actor_types)
}

pub(super) async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.expect("opening does not panic, and the runtime is running")
}
