//! Putting a node together and starting it.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use everpost_persistence::{OpenError, Position, ReadError, Slots, Store};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Node, Tasks, recover, sweep};
use crate::actor::{Actor, Handlers};
use crate::address::is_actor_type;
use crate::config::{ConfigError, NodeConfig};
use crate::core::Core;
use crate::gate::{Gate, NodeEnded};
use crate::hand::Hands;
use crate::quarantine::{self, Suspect};
use crate::supervision::{Kind, supervise};

/// Describes a node; [`NodeBuilder::start`] starts it. Made by [`Node::builder`].
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    name: String,
    folder: PathBuf,
    config: NodeConfig,
    parts: Vec<Part>,
}

/// An actor type that is to live on the node.
struct Part {
    kind: Arc<Kind>,
    supervise: Box<dyn FnOnce(Arc<Core>, Arc<Kind>) -> Supervising + Send>,
}

type Supervising = Pin<Box<dyn Future<Output = Result<JoinHandle<()>, ractor::SpawnErr>> + Send>>;

impl NodeBuilder {
    pub(super) fn new(name: &str, folder: PathBuf) -> Self {
        Self { name: name.to_owned(), folder, config: NodeConfig::default(), parts: Vec::new() }
    }

    /// Adds an actor type. The value is shared by all of its activations.
    pub fn actor<A: Actor>(mut self, actor: A) -> Self {
        let handlers = Arc::new(Handlers::<A>::of_actor());
        let kind = Arc::new(Kind::new(&handlers));
        let supervise = Box::new(move |core, kind: Arc<Kind>| -> Supervising {
            Box::pin(async move { supervise(core, &kind, Arc::new(actor), handlers).await })
        });
        self.parts.push(Part { kind, supervise });
        self
    }

    /// Uses these settings instead of the defaults.
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// Opens the store, recovers what it holds and starts handling it. What waits is handled in the background.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then, and nothing in the store was lost.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: await it to its end, or let the process end.
    pub async fn start(self) -> Result<Node, StartError> {
        let Self { name, folder, config, parts } = self;
        config.validate()?;
        let kinds = kinds(&parts)?;
        let progress = Arc::new(Notify::new());
        let rung = Arc::clone(&progress);
        let store_config = config.store.clone();
        let open = move || -> Result<_, OpenError> {
            let (store, opened) = Store::open(&folder, store_config, move || rung.notify_one())?;
            let (slots, in_hand) = Slots::open(&folder)?;
            Ok((store, opened, slots, in_hand))
        };
        let (store, opened, slots, in_hand) = blocking(open).await?;
        let gate = Gate::new(store.clone(), progress);
        let hands = Hands::new(slots, store.epoch().nonce);
        tracing::info!(node = name, clean = opened.clean, replayed_groups = opened.replayed_groups, "store opened");
        let core = Arc::new(Core::new(name.into(), config, store, gate, kinds, hands));
        start(core, parts, in_hand).await
    }
}

async fn start(core: Arc<Core>, parts: Vec<Part>, in_hand: Vec<Position>) -> Result<Node, StartError> {
    // Before anything else holds on to the store, so that it is free again if this fails.
    let recovering = Arc::clone(&core);
    let suspects = blocking(move || recover::recover(&recovering, &in_hand)).await?;
    let gate = Arc::clone(&core);
    let opening = tokio::spawn(async move {
        gate.gate.run(|effect| gate.release(effect)).await;
        gate.store_failed();
    });
    let sweeping = tokio::spawn(sweep::sweep(Arc::clone(&core)));
    let tasks = Tasks { supervisors: Mutex::default(), background: vec![opening, sweeping].into() };
    let node = Node { core, tasks: Arc::new(tasks) };
    if let Err(error) = begin(&node, parts, suspects).await {
        // The first error is the one that matters.
        let _ = node.stop().await;
        return Err(error);
    }
    Ok(node)
}

/// Starts the supervisors, and what waits in the store.
async fn begin(node: &Node, parts: Vec<Part>, suspects: Vec<Suspect>) -> Result<(), StartError> {
    let core = &node.core;
    for part in parts {
        let supervisor = (part.supervise)(Arc::clone(core), part.kind).await;
        node.tasks.add_supervisor(supervisor.map_err(|error| StartError::Supervisor(error.to_string()))?);
    }
    let suspects = if suspects.is_empty() { Vec::new() } else { quarantine::single_out(core, suspects).await? };
    let waking = Arc::clone(core);
    node.tasks.add_background(tokio::spawn(async move {
        // When the node ends there is nothing left to wake.
        if quarantine::try_alone(&waking, suspects).await.is_ok() {
            recover::wake_all(&waking).await;
        }
    }));
    Ok(())
}

fn kinds(parts: &[Part]) -> Result<FxHashMap<&'static str, Arc<Kind>>, StartError> {
    let mut kinds = FxHashMap::default();
    for Part { kind, .. } in parts {
        if !is_actor_type(kind.name) {
            return Err(StartError::ActorType(kind.name));
        }
        if kinds.insert(kind.name, Arc::clone(kind)).is_some() {
            return Err(StartError::TwoActors(kind.name));
        }
    }
    Ok(kinds)
}

async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.expect("opening does not panic, and the runtime is running")
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actors: Vec<_> = self.parts.iter().map(|part| part.kind.name).collect();
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("actors", &actors)
            .finish_non_exhaustive()
    }
}

/// Why a node did not start. Nothing runs, and nothing in the store was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name of an actor type is not allowed.
    #[error("`{0}` cannot be an actor type: it has 1 to 64 characters of a-z, 0-9, `_` and `-`")]
    ActorType(&'static str),
    /// Two actors have the same type name.
    #[error("two actors of the node have the type `{0}`, so that their addresses cannot be told apart")]
    TwoActors(&'static str),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store can be opened, but not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed while the start was being written down.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
    /// A supervisor could not be started.
    #[error("a supervisor could not be started: {0}")]
    Supervisor(String),
}
