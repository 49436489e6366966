//! One other node: what is owed to it, what it is to be told, and the connection that it made.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everpost_persistence::{Key, Position};
use everpost_transport::link::Lane;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};
use tokio::time::Instant;

use super::queries::{Answer, OpenQueries};
use super::rules::notes::{Notes, ToTell};
use super::rules::remote_queries::RemoteQueries;
use super::{Outgoing, Pending};
use crate::base::alarm::{Alarm, Said};
use crate::base::clock::{ClockSkew, Micros};
use crate::cluster::introduced::{Contest, Introduced, Process};
use crate::cluster::note::Note;
use crate::cluster::peer_alarms::PeerAlarms;
use crate::cluster::remote_query::RemoteQuery;
use crate::cluster::rules::name_lease::NameLease;
use crate::config::{LinkConfig, NodeConfig};
use crate::message::MessageId;
use crate::message::address::Address;

/// How many bytes of queries to one peer are open at a time; more wait. Half of what it keeps of them
/// ([`super::rules::remote_queries::QUERIES_BYTES_MAX`]), so that it refuses none although others were given up on.
const ASKING_BYTES_MAX: usize = super::rules::remote_queries::QUERIES_BYTES_MAX / 2;

/// One other node.
pub(crate) struct Peer {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Of two nodes the one with the smaller name dials, so that there is one connection between them.
    pub(crate) is_dialed: bool,
    /// The largest message that it takes, by its own word in the last conversation.
    message_bytes_max: AtomicUsize,
    outgoing: Mutex<Outgoing>,
    /// Rung when something may leave.
    pub(crate) departures: Notify,
    /// Who waits for what becomes of a message there.
    pub(crate) pending: Pending,
    notes: Mutex<Notes>,
    /// Rung when there is something to tell: acknowledgements or notes.
    pub(crate) news: Notify,
    /// So much waits to be told that no messages are taken from the peer.
    is_behind: AtomicBool,
    /// Rung when that is over.
    caught_up: Notify,
    /// Queries of the peer that are not answered yet.
    asked: Mutex<RemoteQueries<RemoteQuery>>,
    arrivals: Mutex<Arrivals>,
    arrival: Notify,
    /// Queries that the peer has not answered yet.
    queries: OpenQueries,
    /// Room for more of them, in bytes.
    room_to_ask: Semaphore,
    alarms: Mutex<PeerAlarms>,
    /// Messages that were found out there to contradict others under their idempotency keys, when nobody waited any
    /// more.
    contradictions: Mutex<Alarm>,
    /// How its wall clock differed when it last introduced itself.
    skew: Mutex<Option<ClockSkew>>,
}

/// Who has come from the peer.
#[derive(Debug, Default)]
struct Arrivals {
    /// Which process of its name has the conversation.
    lease: NameLease<Process>,
    /// The newest connection, until its link takes it.
    newest: Option<Introduced>,
}

impl Peer {
    pub(crate) fn new(
        name: &str,
        addresses: Vec<SocketAddr>,
        node: &str,
        link: &LinkConfig,
        limits: &NodeConfig,
    ) -> Self {
        Self {
            name: name.into(),
            addresses,
            is_dialed: node < name,
            message_bytes_max: AtomicUsize::new(usize::MAX),
            outgoing: Mutex::new(Outgoing::new(limits, link.send_window_bytes)),
            departures: Notify::new(),
            pending: Pending::default(),
            notes: Mutex::default(),
            news: Notify::new(),
            is_behind: AtomicBool::new(false),
            caught_up: Notify::new(),
            asked: Mutex::default(),
            arrivals: Mutex::default(),
            arrival: Notify::new(),
            queries: OpenQueries::default(),
            room_to_ask: Semaphore::new(ASKING_BYTES_MAX),
            contradictions: Mutex::default(),
            alarms: Mutex::default(),
            skew: Mutex::new(None),
        }
    }

    /// What is owed to it. Locked after mailboxes and before the store's queue.
    pub(crate) fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        lock(&self.outgoing)
    }

    /// The largest message that it takes, as far as that is known: it may have changed since, or was never told.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max.load(Ordering::Relaxed)
    }

    /// It has said how large a message it takes.
    pub(crate) fn takes_messages_of(&self, bytes_max: u64) {
        self.message_bytes_max.store(usize::try_from(bytes_max).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// What was said of its link. Nothing is locked after it.
    pub(crate) fn alarms(&self) -> MutexGuard<'_, PeerAlarms> {
        lock(&self.alarms)
    }

    /// How its wall clock differed when it last introduced itself; none before that.
    pub(crate) fn skew(&self) -> Option<ClockSkew> {
        *lock(&self.skew)
    }

    pub(crate) fn set_skew(&self, skew: ClockSkew) {
        *lock(&self.skew) = Some(skew);
    }

    /// Tells the peer something when there is a connection.
    pub(crate) fn tell(&self, note: Note) {
        let _ = self.keep(note);
    }

    /// Which conversation this is.
    pub(crate) fn conversation(&self) -> u64 {
        lock(&self.notes).conversation()
    }

    /// Tells the answer to a query of this conversation, or nobody if that is over.
    pub(crate) fn tell_answer(&self, conversation: u64, number: u64, answer: Answer) {
        self.noting(|notes| notes.push_answer(conversation, number, answer));
        self.news.notify_one();
    }

    /// Whether the note is kept until it is told; one that is volatile only while there is a conversation.
    fn keep(&self, note: Note) -> bool {
        let is_kept = self.noting(|notes| notes.push(note));
        self.news.notify_one();
        is_kept
    }

    /// Tells the peer that a message was handled, and its reply, which the store has.
    pub(crate) fn tell_stored(&self, id: MessageId, key: Key) {
        self.noting(|notes| notes.push_stored(id.0, key));
        self.news.notify_one();
    }

    /// Changes what the peer is to be told, and notes whether that is too much for more messages to be taken from it.
    fn noting<T>(&self, change: impl FnOnce(&mut Notes) -> T) -> T {
        let mut notes = lock(&self.notes);
        let changed = change(&mut notes);
        let are_many = notes.are_many();
        if are_many != self.is_behind.load(Ordering::Relaxed) {
            self.is_behind.store(are_many, Ordering::Relaxed);
            if !are_many {
                self.caught_up.notify_one();
            }
        }
        changed
    }

    /// Completes while the peer reads what it is told. For one task at a time.
    pub(crate) async fn has_caught_up(&self) {
        while self.is_behind.load(Ordering::Relaxed) {
            self.caught_up.notified().await;
        }
    }

    /// Whether the peer has asked for more than anybody leaves unread who hears it.
    pub(crate) fn does_not_hear(&self) -> bool {
        lock(&self.notes).are_too_many()
    }

    /// Whether an answer to a query of the peer may be made now: not while others wait for it.
    pub(crate) fn may_answer(&self) -> bool {
        lock(&self.notes).may_answer()
    }

    /// An answer was made, and is to be told when its commit is durable.
    pub(crate) fn made(&self, answer: &Answer) {
        lock(&self.notes).made(answer);
    }

    /// One that was made will not be told.
    pub(crate) fn unmade(&self, answer: &Answer) {
        lock(&self.notes).unmade(answer);
    }

    /// The peer has asked. False when it has asked more than is kept.
    pub(crate) fn was_asked(&self, bytes: usize) -> bool {
        lock(&self.asked).take_in(bytes)
    }

    /// A query of the peer is answered, or will not be.
    pub(crate) fn was_answered(&self, bytes: usize) {
        lock(&self.asked).settle(bytes);
    }

    /// Puts off a query until there is room for its answer.
    pub(crate) fn put_off(&self, query: RemoteQuery) {
        lock(&self.asked).put_off(query);
        self.news.notify_one();
    }

    /// Whether queries wait for room for their answers.
    pub(crate) fn has_put_off(&self) -> bool {
        lock(&self.asked).has_put_off()
    }

    /// Takes queries that were put off and may be put again now.
    pub(crate) fn to_be_put_again(&self) -> Vec<RemoteQuery> {
        // Nobody asks, as a rule.
        if !self.has_put_off() || !self.may_answer() {
            return Vec::new();
        }
        lock(&self.asked).put_again()
    }

    /// Asks the peer what becomes of a message that it has, when there is a connection.
    pub(crate) fn inquire(&self, id: MessageId) {
        self.pending.ask(id);
        self.news.notify_one();
    }

    /// Takes up to `notes_max` of what the peer is to be told and asked, and up to `bytes_max` bytes; a few more when
    /// mailboxes are full, and one at least.
    pub(crate) fn take_notes(&self, notes_max: usize, bytes_max: usize) -> (Vec<ToTell>, bool) {
        let (mut taken, is_all) = self.noting(|notes| (notes.take(notes_max, bytes_max), notes.is_empty()));
        let room = notes_max.saturating_sub(taken.len());
        if room > 0 {
            taken.extend(self.pending.inquiries(room).into_iter().map(ToTell::Note));
        }
        let is_all = is_all && taken.len() < notes_max;
        (taken, is_all)
    }

    /// A conversation begins. The peer is asked about everything of which `has_it` says that it has it.
    pub(crate) fn begin(&self, has_it: impl FnMut(Lane, Position) -> bool) {
        self.noting(Notes::begin);
        self.pending.ask_anew(has_it);
        self.news.notify_one();
    }

    /// The peer has made a connection; the newest wins. Unless another process of its name has the lease of the name
    /// with another store: then who has it, and the newcomer, who may come again when that one is gone.
    pub(crate) fn arrive(&self, newcomer: Introduced, now: Micros) -> Option<Contest> {
        let mut arrivals = lock(&self.arrivals);
        if let Err(holder) = arrivals.lease.take(newcomer.holder(now), |process| process.liveness.is_closed()) {
            return Some(Contest { newcomer, holder });
        }
        arrivals.newest = Some(newcomer);
        self.arrival.notify_one();
        None
    }

    /// Completes when the peer has made a connection that was not taken yet.
    pub(crate) async fn has_arrived(&self) {
        while lock(&self.arrivals).newest.is_none() {
            self.arrival.notified().await;
        }
    }

    pub(crate) fn take_arrival(&self) -> Option<Introduced> {
        lock(&self.arrivals).newest.take()
    }

    /// The connection is gone, and with it what is stored nowhere.
    pub(crate) fn interrupted(&self) {
        self.outgoing().interrupted();
        self.noting(Notes::end);
        self.queries.lose();
        // Each says that it is lost when it is dropped, which is heard by nobody.
        let put_off = lock(&self.asked).lose();
        drop(put_off);
    }

    /// Waits for room to ask the peer something of so many bytes. It is free again when what this returns is dropped.
    pub(crate) async fn room_to_ask(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.room_to_ask.acquire_many(permits(bytes)).await.ok()
    }

    /// The same, if there is room now.
    pub(crate) fn try_room_to_ask(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.room_to_ask.try_acquire_many(permits(bytes)).ok()
    }

    /// Puts a query to an actor's state there. None when there is no connection.
    pub(crate) fn ask(&self, query: impl FnOnce(u64) -> Note) -> Option<oneshot::Receiver<Answer>> {
        if !self.outgoing().is_connected() {
            return None;
        }
        let (number, answer) = self.queries.add()?;
        // The conversation may have ended meanwhile, with all queries that were open then.
        let is_kept = self.keep(query(number));
        if !is_kept {
            self.queries.withdraw(number);
        }
        is_kept.then_some(answer)
    }

    /// The peer has answered a query.
    pub(crate) fn answered(&self, number: u64, answer: Answer) {
        self.queries.answered(number, answer);
    }

    /// A message that was sent there contradicts another one under its idempotency key, which nobody here waited to
    /// hear.
    pub(crate) fn contradicted(&self, node: &str, id: MessageId) {
        if let Some(Said { times, .. }) = lock(&self.contradictions).raise(Instant::now()) {
            tracing::error!(
                node, peer = %self.name, message_id = %id, times, event = "idempotency key reused",
                "another message was sent under its key before: it had no effect, and is a dead letter there; send it \
                 under a key of its own"
            );
        }
    }

    /// Tells the peer that a mailbox of this node is full, once.
    pub(crate) fn tell_full(&self, address: &Address) {
        let is_news = lock(&self.notes).set_full(address, true);
        if is_news {
            self.news.notify_one();
        }
    }

    /// Tells the peer that a mailbox has room again, if it was told that it is full.
    pub(crate) fn tell_room(&self, address: &Address) {
        let is_news = lock(&self.notes).set_full(address, false);
        if is_news {
            self.news.notify_one();
        }
    }

    /// The node has ended: whoever waits for something from this peer will not get it, nor will whoever comes later.
    pub(crate) fn dismiss(&self) {
        lock(&self.arrivals).newest.take();
        self.pending.close();
        self.queries.close();
        self.room_to_ask.close();
        self.outgoing().dismiss();
        let put_off = lock(&self.asked).lose();
        drop(put_off);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How much of the room to ask a query takes: one is always asked, however large.
fn permits(bytes: usize) -> u32 {
    u32::try_from(RemoteQueries::<RemoteQuery>::counted(bytes).min(ASKING_BYTES_MAX)).expect("it is far below 4 GiB")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
