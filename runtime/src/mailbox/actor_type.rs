//! Actor types without their Rust types: what their mailboxes need to know of them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cluster::remote_query::RemoteQuery;
use crate::mailbox::query::Open;
use crate::mailbox::{Mailbox, Start};
use crate::message::delivery::{Delivery, Order};
use crate::message::envelope::Header;
use crate::message::expiry::Expiry;
use crate::message::unhandled::Unhandled;
use crate::record::budget::Budget;
use crate::record::schema::Schema;
use crate::record::supervised::Paused;

/// An actor type on this node, without its Rust type.
pub(crate) struct ActorType {
    pub(crate) name: &'static str,
    pub(crate) delivery: Delivery,
    pub(crate) order: Order,
    /// The restart budget of each actor.
    pub(crate) budget: Budget,
    /// Set without the lock when it is paused: it is looked at for every message.
    is_paused: AtomicBool,
    paused: Mutex<Option<Paused>>,
    /// How many messages of one mailbox may be held at a time.
    pub(crate) holds_max: usize,
    pub(crate) expired: Expiry,
    /// The messages that are held, by name.
    held: FxHashSet<&'static str>,
    /// The messages that it handles, by name.
    messages: FxHashMap<&'static str, Schema>,
    pub(crate) state: Schema,
    queries: FxHashSet<&'static str>,
    query_of_remote: MakeRemoteQuery,
    supervisor: OnceLock<Box<dyn Supervises>>,
}

/// Makes a query of what another node has sent, or hands that back.
pub(crate) type MakeRemoteQuery = Box<dyn Fn(RemoteQuery) -> Box<dyn Open> + Send + Sync>;

/// A state that is loaded and dropped.
pub(crate) type Trying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a type declares of itself.
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) delivery: Delivery,
    pub(crate) order: Order,
    pub(crate) budget: Budget,
    pub(crate) holds_max: usize,
    pub(crate) expired: Expiry,
    pub(crate) held: FxHashSet<&'static str>,
    pub(crate) messages: FxHashMap<&'static str, Schema>,
    pub(crate) state: Schema,
    pub(crate) queries: FxHashSet<&'static str>,
    pub(crate) query_of_remote: MakeRemoteQuery,
}

/// Who starts the activations of an actor type, and ends them.
pub(crate) trait Supervises: Send + Sync {
    /// Has an activation started when there is a place for one, or in any case.
    fn start(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> Start;

    /// The same at a place that was taken for it; never waits.
    fn start_at_place(&self, mailbox: &Arc<Mailbox>) -> Start;

    /// The activation of a mailbox, if there is one, ends where it stands, at its next await.
    fn kill(&self, mailbox: &Arc<Mailbox>);

    /// Every activation ends so.
    fn kill_all(&self);

    /// What is kept for activations to come, and was not needed since this was last called, leaves memory.
    fn shrink(&self);

    /// No more starts; it ends when every activation has ended.
    fn stop(&self);

    /// Loads the state of a mailbox and drops it again: what cannot be read is left to whoever needs it.
    fn try_state(&self, mailbox: &Arc<Mailbox>) -> Trying;
}

impl ActorType {
    pub(crate) fn new(declared: Declared) -> Self {
        let Declared { name, delivery, order, budget, holds_max, expired, .. } = declared;
        let Declared { held, messages, state, queries, query_of_remote, .. } = declared;
        Self {
            name,
            delivery,
            order,
            budget,
            is_paused: AtomicBool::new(false),
            paused: Mutex::default(),
            holds_max,
            expired,
            held,
            messages,
            state,
            queries,
            query_of_remote,
            supervisor: OnceLock::new(),
        }
    }

    pub(crate) fn answers(&self, query: &str) -> bool {
        self.queries.contains(query)
    }

    /// A query of another node that is answered here. It is read where that is done.
    pub(crate) fn query(&self, query: RemoteQuery) -> Box<dyn Open> {
        (self.query_of_remote)(query)
    }

    pub(crate) fn handles(&self, message: &str) -> bool {
        self.messages.contains_key(message)
    }

    /// Whether a message is handed to a holder.
    pub(crate) fn holds(&self, message: &str) -> bool {
        self.held.contains(message)
    }

    /// The same of a message in its envelope. Few types have such messages, and only those look into it.
    pub(crate) fn holds_what_is_in(&self, envelope: &[u8]) -> bool {
        !self.held.is_empty() && Header::decode(envelope).is_ok_and(|(header, _)| self.holds(header.message))
    }

    /// How a message is read, if it is handled.
    pub(crate) fn message(&self, name: &str) -> Option<&Schema> {
        self.messages.get(name)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    pub(crate) fn paused(&self) -> Option<Paused> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pauses or resumes the type. Nobody else does while what is returned is held.
    pub(crate) fn set_paused(&self, paused: Option<Paused>) -> MutexGuard<'_, Option<Paused>> {
        let mut current = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_paused.store(paused.is_some(), Ordering::Relaxed);
        *current = paused;
        current
    }

    /// Has an activation started when there is a place for one, or in any case. There is none when there is no
    /// supervisor: before the node wakes what waits, or while it stops.
    pub(crate) fn start(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> Start {
        self.supervisor.get().map_or(Start::Refused, |supervisor| supervisor.start(mailbox, in_any_case))
    }

    /// The same at a place that was taken for it.
    pub(crate) fn start_at_place(&self, mailbox: &Arc<Mailbox>) -> Start {
        self.supervisor.get().map_or(Start::Refused, |supervisor| supervisor.start_at_place(mailbox))
    }

    /// Who starts the activations of this type; none before the node wakes what waits.
    pub(crate) fn supervisor(&self) -> Option<&dyn Supervises> {
        self.supervisor.get().map(AsRef::as_ref)
    }

    /// The type is supervised from here on.
    pub(crate) fn supervised_by(&self, supervisor: Box<dyn Supervises>) {
        assert!(self.supervisor.set(supervisor).is_ok(), "a type is supervised once");
    }

    /// How this build reads a message that was stored with this name and version.
    pub(crate) fn reader(&self, message: &str, version: u16) -> Result<&Schema, Unhandled> {
        let (actor_type, name) = (self.name, message);
        let Some(schema) = self.message(message) else {
            return Err(Unhandled::Message { actor_type: actor_type.to_owned(), message: name.to_owned(), version });
        };
        if version > schema.version {
            let (actor_type, message, known) = (actor_type.to_owned(), name.to_owned(), schema.version);
            return Err(Unhandled::Newer { actor_type, message, version, known });
        }
        Ok(schema)
    }
}

impl fmt::Debug for ActorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .field("messages", &self.messages.keys())
            .finish_non_exhaustive()
    }
}
