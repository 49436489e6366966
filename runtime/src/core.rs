//! What all parts of a node share: the store, the gate, the mailboxes in memory, and the few steps that tie them.

mod acknowledge;
mod arrive;
mod commit;
mod depart;
mod enqueue;
mod expire;
mod fail;
mod load;
mod locked;
mod outlive;
mod recall;
mod settle;
mod size;
mod supervise;
mod tick;
mod withdraw;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use everpost_persistence::{Class, CommitError, Key, MailboxId, Position, ReadError, Store};
use everpost_transport::link::Lane;
use ractor::ActorProcessingErr;
use rustc_hash::FxHashMap;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};

pub(crate) use self::acknowledge::Acknowledged;
pub(crate) use self::arrive::{ArrivalError, Arriving, Producer};
pub(crate) use self::commit::Finished;
pub(crate) use self::depart::Outward;
pub(crate) use self::enqueue::{Accepted, Bound, Incoming};
pub(crate) use self::fail::{Burial, ERRORS_MAX, TakenBack, notice_of, shortened};
pub(crate) use self::load::Activations;
use self::load::{Counters, Load};
pub(crate) use self::outlive::Outlived;
pub(crate) use self::recall::{KEY_QUESTION, Recalled};
pub(crate) use self::withdraw::{LeftOutbox, OutwardBurial};
use crate::actor::{Actor, Delivery};
use crate::address::Address;
use crate::alarm::Alarms;
use crate::ask::KeptReplies;
use crate::clock::Clock;
use crate::cluster::{Cluster, Owner, Peer};
use crate::config::NodeConfig;
use crate::dead_letters::Shelf;
use crate::directory::Directory;
use crate::envelope::{Origin, seal};
use crate::expiry::Expiries;
use crate::gate::{Gate, NodeEnded};
use crate::hand::Hands;
use crate::hold;
use crate::link::Note;
use crate::mailbox::{Mailbox, Next, Presence};
use crate::message::{Message, MessageId};
use crate::quarantine::Quarantine;
use crate::query::{self, Open};
use crate::questions::Register;
use crate::recurring::Recurring;
use crate::refusal::Refusal;
use crate::request::{RequestKey, Requests};
use crate::room::NodeLine;
use crate::state::Nearness;
use crate::supervision::Kind;
use crate::telemetry::Committed;
use crate::timer::KeptTimers;
use crate::waiter::{Outcome, Waiter};
use crate::wheel::{Due, Wheel};

/// Of how many states it is told at a time that they are large.
const LARGE_STATES: usize = 64;

/// What leaves through the gate.
pub(crate) enum Effect {
    /// The head of a mailbox is durable, so that it may be seen.
    Ring(Arc<Mailbox>),
    /// What became of a message.
    Tell(Waiter, Outcome),
    /// Messages for another node are durable, so that they may leave.
    Depart(Arc<Peer>),
    /// Messages of another node are durable, so that they may be acknowledged.
    Acknowledge(Arc<Peer>),
    /// The answer to this question of a turn has been used; the node that keeps it need not any longer.
    Forget(Arc<Peer>, MessageId, Address),
    /// The answer to a question.
    Answer(Box<dyn FnOnce() + Send>),
    /// The store can tell this reply by itself from now on.
    ReplyStored(u128),
    /// The same of the answer to a request.
    RequestStored(RequestKey),
    /// A turn is durable; only made when somebody reads such events.
    Log(Committed),
}

/// The inside of a node.
pub(crate) struct Core {
    pub(crate) name: Arc<str>,
    pub(crate) config: NodeConfig,
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Store,
    pub(crate) gate: Gate<Effect>,
    pub(crate) cluster: Cluster,
    pub(crate) directory: Directory,
    pub(crate) kinds: FxHashMap<&'static str, Arc<Kind>>,
    pub(crate) hands: Hands,
    pub(crate) quarantine: Quarantine,
    /// States that were warned of.
    large_states: Mutex<Alarms<(MailboxId, Nearness)>>,
    /// Troubles that are met again and again.
    pub(crate) recurring: Recurring,
    pub(crate) timers: KeptTimers,
    pub(crate) wheel: Wheel,
    pub(crate) activations: Arc<Activations>,
    pub(crate) kept_replies: KeptReplies,
    /// What the turns of this node have asked.
    pub(crate) asked: Register,
    pub(crate) requests: Requests,
    pub(crate) shelf: Shelf,
    pub(crate) expiries: Expiries,
    /// Who waits for whom inside a turn: an edge from the asking to the asked mailbox.
    pub(crate) waits_for: Mutex<HashMap<MailboxId, MailboxId>>,
    pub(crate) questions: Arc<Semaphore>,
    pub(crate) counters: Counters,
    pub(crate) load: Load,
    pub(crate) node_line: NodeLine,
    /// How often idle activations were looked for: a clock that costs nothing to read.
    sweeps: AtomicU64,
    stopping: AtomicBool,
    /// As in [`OpenedStore`].
    pub(crate) first: Position,
    links_stopped: watch::Sender<bool>,
    /// On which the node was started: what goes on by itself runs there, whoever sets it off from wherever.
    pub(crate) runtime: Handle,
}

/// Where a message goes.
pub(crate) enum Target<'a> {
    /// To an actor of this node.
    Here(&'a Arc<Kind>),
    /// To another node.
    Away(Arc<Peer>, Lane),
}

/// What the opening of a store has brought.
pub(crate) struct OpenedStore {
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Store,
    pub(crate) gate: Gate<Effect>,
    pub(crate) hands: Hands,
    /// The first position that this run of the store gives out.
    pub(crate) first: Position,
}

impl Core {
    pub(crate) fn new(
        name: Arc<str>,
        config: NodeConfig,
        cluster: Cluster,
        kinds: FxHashMap<&'static str, Arc<Kind>>,
        opened: OpenedStore,
    ) -> Self {
        let OpenedStore { clock, store, gate, hands, first } = opened;
        Self {
            name,
            directory: Directory::new(store.partitions()),
            activations: Arc::new(Activations::new(config.activations_max)),
            requests: Requests::new(config.idempotency_keys_max),
            shelf: Shelf::new(config.dead_letters_max, config.dead_letters_when_full),
            expiries: Expiries::default(),
            questions: Arc::new(Semaphore::new(config.questions_max)),
            config,
            clock,
            store,
            gate,
            cluster,
            kinds,
            hands,
            quarantine: Quarantine::default(),
            large_states: Mutex::new(Alarms::new(LARGE_STATES)),
            recurring: Recurring::new(),
            timers: KeptTimers::default(),
            wheel: Wheel::default(),
            kept_replies: KeptReplies::default(),
            asked: Register::default(),
            waits_for: Mutex::default(),
            counters: Counters::default(),
            load: Load::default(),
            node_line: NodeLine::default(),
            sweeps: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            first,
            links_stopped: watch::Sender::new(false),
            runtime: Handle::current(),
        }
    }

    /// Puts a message for `address` into its envelope, or says why it cannot be sent.
    pub(crate) fn seal<A: Actor, M: Message>(
        &self,
        address: &Address,
        origin: Origin<'_>,
        message: &M,
    ) -> Result<(Target<'_>, Bytes), Refusal> {
        let target = match self.owner(address) {
            Owner::Here => {
                let kind = self.kinds.get(A::TYPE).filter(|kind| kind.handles(M::NAME));
                Target::Here(kind.ok_or(Refusal::NotHandled { actor_type: A::TYPE, message: M::NAME })?)
            }
            Owner::Away(peer, lane) => Target::Away(peer, lane),
        };
        address.check_length()?;
        let envelope = seal(address.as_str(), origin, message).map_err(Refusal::Encode)?;
        self.check_size(&target, envelope.len())?;
        Ok((target, envelope))
    }

    /// Whether a message of so many bytes is taken here, and by the node where it goes.
    pub(crate) fn check_size(&self, target: &Target<'_>, bytes: usize) -> Result<(), Refusal> {
        let bytes_max = self.config.message_bytes_max;
        if bytes > bytes_max {
            return Err(Refusal::MessageTooLarge { bytes, bytes_max });
        }
        match target {
            Target::Away(peer, _) if bytes > peer.message_bytes_max() => {
                let (node, bytes_max) = (peer.name.to_string(), peer.message_bytes_max());
                Err(Refusal::TooLargeForNode { node, bytes, bytes_max })
            }
            Target::Here(_) | Target::Away(..) => Ok(()),
        }
    }

    /// Where an address lives.
    pub(crate) fn owner(&self, address: &Address) -> Owner {
        if self.cluster.is_alone() {
            return Owner::Here;
        }
        self.cluster.owner(address, address.partition(self.store.partitions()))
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

    /// From here on nothing is taken in, and no activation takes another message.
    pub(crate) fn stop_intake(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.quarantine.look_again();
    }

    /// From here on no link takes or sends anything.
    pub(crate) fn stop_links(&self) {
        self.links_stopped.send_replace(true);
    }

    /// Completes when the links are to end.
    pub(crate) async fn links_stopped(&self) {
        // The sender lives as long as this does.
        let _ = self.links_stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Puts a question to an actor's state.
    pub(crate) fn put_question(&self, address: &Address, kind: &Arc<Kind>, question: Box<dyn Open>) {
        let mailbox = self.directory.mailbox(address, kind);
        let mut inner = mailbox.lock();
        if self.gate.is_over() {
            // Nobody will answer it, and dropping it says so; outside of the lock.
            drop(inner);
            return query::lose([question]);
        }
        if let Some(why) = inner.barred().map(ToString::to_string) {
            drop(inner);
            return question.refuse(&why);
        }
        inner.questions.push_back(question);
        inner.ring(&mailbox);
    }

    /// The store has failed: nothing becomes durable any more, so nothing more is tried.
    pub(crate) fn store_failed(&self) {
        if let Some(failure) = self.store.failure() {
            tracing::error!(node = %self.name, error = %failure, event = "store failed", "the store failed and the node does nothing more; start it again to recover");
            self.end(NodeEnded::Failed(failure));
        }
    }

    /// The runtime has gone, and every task of the node with it: nobody will handle anything. The store is closed, so that the
    /// node can be started anew.
    pub(crate) fn runtime_gone(&self) {
        tracing::error!(node = %self.name, event = "runtime gone", "the tokio runtime of the node has ended and the node does nothing more; start it again, on a runtime that lives as long as it");
        self.end(NodeEnded::RuntimeGone);
        // Before the runtime's clock stops, by which somebody may wait for room in the store.
        self.store.refuse();
        drop(self.close_store());
    }

    /// Closes the store, on a thread of its own: it blocks, and goes on whoever waits for it. Closing it again says the same.
    pub(crate) fn close_store(&self) -> oneshot::Receiver<Result<(), CommitError>> {
        let (tell, closed) = oneshot::channel();
        let store = self.store.clone();
        // Without a thread the store ends with its last handle, as in a crash; that the channel is dropped tells of it.
        let closing = move || drop(tell.send(store.close()));
        if let Err(error) = std::thread::Builder::new().name("everpost-closing".to_owned()).spawn(closing) {
            tracing::error!(node = %self.name, %error, event = "store not closed", "there is no thread to close the store with: the next start recovers it");
        }
        closed
    }

    /// The node does nothing more: whoever waits for something of it is told, and so is whoever comes later. May be called again;
    /// the first reason stays.
    pub(crate) fn end(&self, why: NodeEnded) {
        self.stop_intake();
        self.stop_links();
        self.questions.close();
        // First: from here on nobody is added who would wait, and then everybody who is there is told.
        self.gate.close(why);
        self.directory.for_each(|mailbox| {
            let mut inner = mailbox.lock();
            inner.asks.dismiss();
            let questions = std::mem::take(&mut inner.questions);
            drop(inner);
            query::lose(questions);
        });
        self.dismiss_senders();
        self.cluster.peers().iter().for_each(|peer| peer.dismiss());
    }

    /// Lets an effect out of the gate.
    pub(crate) fn release(&self, effect: Effect) {
        match effect {
            Effect::Ring(mailbox) => {
                let mut inner = mailbox.lock();
                inner.gated = false;
                inner.ring(&mailbox);
            }
            Effect::Tell(waiter, outcome) => waiter.tell(outcome),
            Effect::Depart(peer) => {
                peer.outgoing().gated = false;
                peer.departures.notify_one();
            }
            Effect::Acknowledge(peer) => peer.news.notify_one(),
            Effect::Forget(peer, id, address) => {
                peer.tell(Note::Forget { id: id.0, destination: address.to_string() });
            }
            Effect::Answer(answer) => answer(),
            Effect::ReplyStored(request) => self.kept_replies.stored(request),
            Effect::RequestStored(key) => self.requests.stored(&key),
            Effect::Log(committed) => committed.log(&self.name),
        }
    }

    pub(crate) fn release_after(&self, after: Position, effect: Effect) {
        if let Some(effect) = self.gate.hold(after, effect) {
            self.release(effect);
        }
    }

    pub(crate) fn ring_when_durable(&self, mailbox: &Arc<Mailbox>, position: Position) {
        let mut inner = mailbox.lock();
        if inner.gated {
            return;
        }
        inner.gated = true;
        if self.gate.hold(position, Effect::Ring(Arc::clone(mailbox))).is_some() {
            inner.gated = false;
            inner.ring(mailbox);
        }
    }

    /// Rings a mailbox that nobody works on if something can be done there now, and otherwise when it can. Nothing need be rung
    /// for: the activation that would look at it costs more than the look.
    pub(crate) fn rouse(&self, mailbox: &Arc<Mailbox>) {
        let mut inner = mailbox.lock();
        let is_quiet = inner.questions.is_empty() && !mailbox.is_paused(&inner);
        let next = match inner.presence {
            Presence::Absent if is_quiet && inner.attendance.is_none() => {
                let early = mailbox.kind.delivery == Delivery::Pipelined && !self.quarantine.is_active();
                inner.rules.peek(|| self.clock.steady(), self.store.durable(), early)
            }
            _ => return inner.ring(mailbox),
        };
        match next {
            Next::Until(moment) => {
                drop(inner);
                self.ring_at(mailbox, moment);
            }
            Next::Empty => {}
            Next::Deliver { .. } | Next::Load(_) | Next::Overdue(_) | Next::Durable(_) => inner.ring(mailbox),
        }
    }

    /// An activation has ended, and its supervisor has seen it: another may start.
    pub(crate) fn ended(self: &Arc<Self>, mailbox: Arc<Mailbox>) {
        let mut inner = mailbox.lock();
        let held = inner.holding.take().filter(|held| held.is_dropped && !self.is_stopping());
        // One that left found nothing to do, and whatever comes up rings.
        let has_left = matches!(inner.presence, Presence::Stopping) && !inner.rung;
        inner.vacate();
        if inner.rules.in_hand().is_some() {
            // It was ended by a stop, which is no failure of the message.
            inner.rules.interrupted();
        }
        if let Some(held) = held {
            // The handler was cut off where it stood, and its hold went with it.
            let (core, mailbox) = (Arc::clone(self), Arc::clone(&mailbox));
            self.runtime.spawn(async move {
                core.take_back(&mailbox, held.position, Some(held.attempt), hold::dropped()).await;
            });
        }
        if !inner.has_work(&mailbox) {
            drop(inner);
            self.retire(mailbox);
        } else if !has_left && !self.is_stopping() {
            inner.ring(&mailbox);
        }
    }

    /// An activation failed with no message in hand (its state cannot be read, say): wait before the next one, if the budget of
    /// the actor allows it.
    /// That of a child of a group is left to the group.
    pub(crate) fn restart_later(self: &Arc<Self>, mailbox: Arc<Mailbox>, error: String) {
        {
            let mut inner = mailbox.lock();
            if inner.attendance.is_some() {
                // Nobody is there to answer them.
                let questions = std::mem::take(&mut inner.questions);
                drop(inner);
                query::lose(questions);
                return self.ended(mailbox);
            }
        }
        let core = Arc::clone(self);
        self.runtime.spawn(async move {
            let error = shortened(error);
            // Without room for the record the store has failed, and there is no next time.
            let Ok(permit) = core.store.reserve(Class::Turn { grows: true }, error.len()).await else { return };
            let wait = {
                let mut inner = mailbox.lock();
                inner.presence = Presence::Starting;
                inner.restarts = inner.restarts.saturating_add(1);
                let (key, record) = core.count_against_budget(&mut inner, &mailbox, &error);
                let (ticket, ()) = core.store.submit(permit, |stage| stage.put(key, record));
                inner.last_submitted = ticket;
                core.config.backoff.delay(inner.restarts, rand::random())
            };
            core.wheel.set(None, core.clock.steady().plus(wait), Due::Restart(mailbox));
        });
    }

    /// The wait after an activation that failed is over.
    pub(crate) fn restart(&self, mailbox: &Arc<Mailbox>) {
        let mut inner = mailbox.lock();
        inner.vacate();
        // In a mailbox that is paused nobody is there to answer them.
        let is_paused = mailbox.is_paused(&inner);
        let questions = if is_paused { std::mem::take(&mut inner.questions) } else { VecDeque::new() };
        inner.ring(mailbox);
        drop(inner);
        query::lose(questions);
    }

    /// Reads bodies from the store into the window of a mailbox.
    pub(crate) async fn load(&self, mailbox: &Mailbox, positions: Vec<Position>) -> Result<(), ActorProcessingErr> {
        let (store, partition) = (self.store.clone(), mailbox.partition);
        let read = move || {
            let keys: Vec<Key> = positions.iter().map(|&position| Key::Inbox { partition, position }).collect();
            store.records(&keys).map(|bodies| (bodies, positions))
        };
        let (bodies, positions) = self.off_the_workers(read).await?;
        let mut inner = mailbox.lock();
        let mut loaded: Vec<(Position, Bytes)> = Vec::with_capacity(bodies.len());
        for (body, position) in bodies.into_iter().zip(positions) {
            match body {
                Some(body) => loaded.push((position, body)),
                // It expired meanwhile.
                None if !inner.rules.contains(position) => {}
                None => {
                    let (position, address) = (position.0, &mailbox.address);
                    let missing = format!(
                        "message {position} of {address} is not in the store though it waits: keep the data folder and report this"
                    );
                    return Err(missing.into());
                }
            }
        }
        // Under the lock, so that what leaves meanwhile is taken off where it is counted.
        let mut bytes = 0;
        inner.rules.loaded(loaded, |body| bytes += body.len());
        self.load.window_bytes.add(bytes);
        self.load.beyond_bytes.take(bytes);
        // They were counted twice for a moment.
        self.give_room();
        Ok(())
    }

    /// Reads one record.
    pub(crate) async fn read(&self, key: Key) -> Result<Option<Bytes>, ReadError> {
        let store = self.store.clone();
        self.off_the_workers(move || store.get(&key)).await
    }

    /// Reads these records, in their order.
    pub(crate) async fn read_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Bytes>>, ReadError> {
        let store = self.store.clone();
        self.off_the_workers(move || store.records(&keys)).await
    }

    /// Reads on a thread of the node's runtime that may wait for the disk, whoever's thread calls. Without that runtime the node
    /// has ended, and its store is closed.
    pub(crate) async fn off_the_workers<T, R>(&self, read: R) -> Result<T, ReadError>
    where
        T: Send + 'static,
        R: FnOnce() -> Result<T, ReadError> + Send + 'static,
    {
        match self.runtime.spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(ReadError::Closed),
        }
    }

    /// Messages that wait or are in hand.
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
        if self.timers.is_due(|| self.clock.now()) || self.waiting() > 0 || self.cluster.owed() > 0 {
            return false;
        }
        let mut newest = Position(0);
        self.directory.for_each(|mailbox| newest = newest.max(mailbox.lock().last_submitted));
        self.waiting() == 0 && self.cluster.owed() == 0 && newest <= self.store.durable()
    }

    fn window_has_room(&self, bytes: usize) -> bool {
        self.load.window_bytes.get().saturating_add(bytes) <= self.config.window_bytes_max
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).finish_non_exhaustive()
    }
}
