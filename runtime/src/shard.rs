//! A shard: everything that belongs to one set of partitions, the store, the gate, the mailboxes in memory, and the few
//! steps that tie them. All parts of a node share it.

pub(crate) mod activations;
pub(crate) mod asks;
pub(crate) mod current;
pub(crate) mod dead_letters;
mod end;
pub(crate) mod expiries;
pub(crate) mod expiring;
pub(crate) mod gate;
pub(crate) mod kept_replies;
mod load;
pub(crate) mod quarantine;
pub(crate) mod requests;
mod room;
mod route;
pub(crate) mod rules;
pub(crate) mod senders;
pub(crate) mod service;
pub(crate) mod services;
pub(crate) mod tasks;
pub(crate) mod wheel;
pub(crate) mod window;
mod within;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everpost_persistence::{MailboxId, Position, Store};
use rustc_hash::FxHashMap;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

pub(crate) use self::kept_replies::{KeptReplies, KeptReply, RepliesInStep};
use self::load::{Counters, Load};
pub(crate) use self::route::{Remote, Route, Routed};
pub(crate) use self::within::Unmet;
use crate::base::alarm::Alarms;
use crate::base::clock::{Clock, Steady};
use crate::base::marks::Marks;
use crate::base::own_runtime::OwnRuntime;
use crate::base::recurring::{OfActors, Recurring};
use crate::cluster::note::Note;
use crate::cluster::{Cluster, Peer};
use crate::config::NodeConfig;
use crate::mailbox::actor_type::ActorType;
use crate::mailbox::directory::Directory;
use crate::mailbox::query::Open;
use crate::mailbox::query::lose;
use crate::mailbox::waiter::Waiter;
use crate::mailbox::{Mailbox, View};
use crate::message::address::Address;
use crate::message::envelope::{Origin, seal};
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::request::RequestKey;
use crate::message::{Message, MessageId};
use crate::record::state_size::Nearness;
use crate::shard::activations::Activations;
use crate::shard::asks::Register;
use crate::shard::dead_letters::DeadLetterQueue;
use crate::shard::expiries::Expiries;
use crate::shard::gate::Gate;
use crate::shard::quarantine::Quarantine;
use crate::shard::requests::Requests;
use crate::shard::senders::NodeSenders;
use crate::shard::wheel::Wheel;
use crate::shard::window::Window;
use crate::telemetry::Committed;
use crate::timer::KeptTimers;

/// Of how many states it is told at a time that they are large.
const LARGE_STATES: usize = 64;

/// What leaves the node only when something is durable.
pub(crate) enum Release {
    /// The head of a mailbox is durable, so that it may be seen.
    Ring(Arc<Mailbox>),
    /// What became of a message.
    Tell(Waiter, Outcome),
    /// Messages for another node are durable, so that they may leave.
    Depart(Arc<Peer>),
    /// Messages of another node are durable, so that they may be acknowledged.
    Acknowledge(Arc<Peer>),
    /// The answer to this ask of a turn has been used; the node that keeps it need not any longer.
    Forget(Arc<Peer>, MessageId, Address),
    /// The answer to a query.
    Answer(Box<dyn FnOnce() + Send>),
    /// The store can tell this reply by itself from now on.
    ReplyStored(u128),
    /// The same of the answer to a request.
    RequestStored(RequestKey),
    /// A turn is durable; only made when somebody reads such events.
    Log(Committed),
}

/// There is one for each node, which drops it when its store is opened again, and has another one from then on
/// ([`Current`](current::Current)).
pub(crate) struct Shard {
    pub(crate) name: Arc<str>,
    pub(crate) config: NodeConfig,
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Store,
    pub(crate) gate: Gate<Release>,
    pub(crate) cluster: Cluster,
    pub(crate) directory: Directory,
    pub(crate) actor_types: FxHashMap<&'static str, Arc<ActorType>>,
    pub(crate) marks: Marks,
    pub(crate) quarantine: Quarantine,
    /// States that were warned of.
    pub(crate) large_states: Mutex<Alarms<(MailboxId, Nearness)>>,
    /// Troubles that are met again and again.
    pub(crate) recurring: Recurring,
    /// The same, of each actor by itself.
    pub(crate) of_actors: OfActors,
    pub(crate) timers: KeptTimers,
    pub(crate) wheel: Wheel,
    pub(crate) activations: Arc<Activations>,
    pub(crate) window: Window,
    pub(crate) kept_replies: KeptReplies,
    /// What the turns of this node have asked.
    pub(crate) asked: Register,
    pub(crate) requests: Requests,
    pub(crate) dead_letters: DeadLetterQueue,
    pub(crate) expiries: Expiries,
    /// Who waits for whom inside a turn: an edge from the asking to the asked mailbox.
    pub(crate) waits_for: Mutex<HashMap<MailboxId, MailboxId>>,
    pub(crate) queries: Arc<Semaphore>,
    pub(crate) counters: Counters,
    pub(crate) load: Load,
    pub(crate) node_senders: NodeSenders,
    /// How often idle activations were looked for: a clock that costs nothing to read.
    sweeps: AtomicU64,
    stopping: AtomicBool,
    /// As in [`OpenedStore`].
    pub(crate) first: Position,
    links_stopped: watch::Sender<bool>,
    /// On which the node runs what it does by itself, whoever sets it off from wherever.
    pub(crate) own_runtime: OwnRuntime,
    /// The runtime on which the node was started: there run handlers, the tasks of groups, and all of the program's
    /// code that may take long.
    pub(crate) programs_runtime: Handle,
}

/// What the opening of a store has brought.
pub(crate) struct OpenedStore {
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Store,
    pub(crate) gate: Gate<Release>,
    pub(crate) marks: Marks,
    /// The first position that this run of the store gives out.
    pub(crate) first: Position,
    pub(crate) own_runtime: OwnRuntime,
}

impl Shard {
    pub(crate) fn new(
        name: Arc<str>,
        config: NodeConfig,
        cluster: Cluster,
        actor_types: FxHashMap<&'static str, Arc<ActorType>>,
        opened: OpenedStore,
    ) -> Self {
        let OpenedStore { clock, store, gate, marks, first, own_runtime } = opened;
        Self {
            name,
            directory: Directory::new(store.partitions(), actor_types.values().cloned().collect()),
            activations: Arc::new(Activations::new(config.activations_max)),
            window: Window::new(config.window_bytes_max),
            requests: Requests::new(config.idempotency_keys_max),
            dead_letters: DeadLetterQueue::new(config.dead_letters_max, config.dead_letters_when_full),
            expiries: Expiries::default(),
            queries: Arc::new(Semaphore::new(config.queries_max)),
            config,
            clock,
            store,
            gate,
            cluster,
            actor_types,
            marks,
            quarantine: Quarantine::default(),
            large_states: Mutex::new(Alarms::new(LARGE_STATES)),
            recurring: Recurring::new(),
            of_actors: OfActors::new(),
            timers: KeptTimers::default(),
            wheel: Wheel::default(),
            kept_replies: KeptReplies::default(),
            asked: Register::default(),
            waits_for: Mutex::default(),
            counters: Counters::default(),
            load: Load::default(),
            node_senders: NodeSenders::default(),
            sweeps: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            first,
            links_stopped: watch::Sender::new(false),
            own_runtime,
            programs_runtime: Handle::current(),
        }
    }

    /// Puts a message for `address` into its envelope, or says why it cannot be sent.
    pub(crate) fn seal<M: Message>(
        &self,
        actor_type: &'static str,
        address: &Address,
        origin: Origin<'_>,
        message: &M,
    ) -> Result<(Route, Bytes), Refusal> {
        address.check_length()?;
        let route = self.route(address, |known| match known.is_some_and(|known| known.handles(M::NAME)) {
            true => Ok(()),
            false => Err(Refusal::NotHandled { actor_type, message: M::NAME }),
        })?;
        let envelope = seal(address.as_str(), origin, message).map_err(Refusal::Encode)?;
        self.check_size(route.remote(), envelope.len())?;
        Ok((route, envelope))
    }

    /// Whether a message of so many bytes is taken here, and by the node where it goes.
    pub(crate) fn check_size(&self, remote: Option<&Remote>, bytes: usize) -> Result<(), Refusal> {
        let bytes_max = self.config.message_bytes_max;
        if bytes > bytes_max {
            return Err(Refusal::MessageTooLarge { bytes, bytes_max });
        }
        match remote {
            Some(Remote { peer, .. }) if bytes > peer.message_bytes_max() => {
                let (node, bytes_max) = (peer.name.to_string(), peer.message_bytes_max());
                Err(Refusal::TooLargeForNode { node, bytes, bytes_max })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What whoever looks into a mailbox has to know of the node. Looked at while that is locked: what has changed
    /// before its last ring is seen.
    pub(crate) fn view(&self) -> View<impl FnOnce() -> Steady> {
        let now = || self.clock.steady();
        View { now, durable: self.store.durable(), is_trial: self.quarantine.is_active() }
    }

    pub(crate) fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::Relaxed)
    }

    /// Counts a sweep; returns its number.
    pub(crate) fn next_sweep(&self) -> u64 {
        self.sweeps.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Completes when the links are to end.
    pub(crate) async fn links_stopped(&self) {
        // The sender lives as long as this does.
        let _ = self.links_stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Puts a query to an actor's state.
    pub(crate) fn put_query(&self, address: &Address, actor_type: &Arc<ActorType>, query: Box<dyn Open>) {
        let mailbox = self.directory.mailbox(address, actor_type);
        let mut inner = mailbox.lock();
        if self.gate.is_over() {
            // Nobody will answer it, and dropping it says so; outside of the lock.
            drop(inner);
            return lose([query]);
        }
        if let Some(why) = inner.barred().map(ToString::to_string) {
            drop(inner);
            return query.refuse(&why);
        }
        inner.add_query(query, &mailbox);
    }

    /// Lets something out of the gate.
    pub(crate) fn release(&self, release: Release) {
        match release {
            Release::Ring(mailbox) => mailbox.lock().ring_from_gate(&mailbox),
            Release::Tell(waiter, outcome) => waiter.tell(outcome),
            Release::Depart(peer) => {
                peer.outgoing().gated = false;
                peer.departures.notify_one();
            }
            Release::Acknowledge(peer) => peer.news.notify_one(),
            Release::Forget(peer, id, address) => {
                peer.tell(Note::Forget { id: id.0, destination: address.to_string() });
            }
            Release::Answer(answer) => answer(),
            Release::ReplyStored(request) => self.kept_replies.stored(request),
            Release::RequestStored(key) => self.requests.stored(&key),
            Release::Log(committed) => committed.log(&self.name),
        }
    }

    pub(crate) fn release_after(&self, after: Position, release: Release) {
        if let Some(release) = self.gate.hold(after, release) {
            self.release(release);
        }
    }

    /// Messages that wait or are in flight.
    pub(crate) fn waiting(&self) -> usize {
        self.load.waiting.get()
    }

    /// Counts bytes of messages that the start found in the store.
    pub(crate) fn add_beyond(&self, bytes: usize) {
        self.load.beyond_bytes.add(bytes);
    }

    /// Counts messages that are about to wait.
    pub(crate) fn add_waiting(&self, messages: usize) {
        self.load.waiting.add(messages);
    }

    /// Whether every message is done or at its node, durably, and no timer is due.
    pub(crate) fn is_drained(&self) -> bool {
        // Timers first: one that fires meanwhile counts as waiting before it is not due any more.
        if self.timers.is_due(|| self.clock.now()) || self.waiting() > 0 || self.cluster.in_outboxes() > 0 {
            return false;
        }
        let mut newest = Position(0);
        self.directory.for_each(|mailbox| newest = newest.max(mailbox.lock().last_submitted()));
        self.waiting() == 0 && self.cluster.in_outboxes() == 0 && newest <= self.store.durable()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("name", &self.name).finish_non_exhaustive()
    }
}
