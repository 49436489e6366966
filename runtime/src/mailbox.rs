//! A mailbox in memory: what waits for one address, who handles it, and who rings whom. The durable queue is the
//! store's; this is its index. It must never wait: every method is one short step under one lock.
//!
//! What the lock protects is in parts, each with a file that keeps what must hold of it. Nobody outside of this folder
//! sees the parts: others say what has happened, and are told what follows.

pub(crate) mod actor_type;
pub(crate) mod asking;
pub(crate) mod directory;
mod handover;
mod keys;
pub(crate) mod lone;
mod looking;
mod membership;
mod messages;
mod queries;
pub(crate) mod query;
mod ringing;
mod rules;
mod senders;
mod supervision;
#[cfg(all(test, feature = "loom"))]
mod tests;
pub(crate) mod waiter;

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use everpost_persistence::{Key, MailboxId, Partition, Position};

use self::handover::Handover;
pub(crate) use self::looking::{Step, View};
pub(crate) use self::membership::ChildState;
use self::messages::Messages;
use self::queries::Queries;
pub(crate) use self::ringing::Ended;
use self::rules::doorbell::Doorbell;
pub(crate) use self::rules::doorbell::Start;
pub(crate) use self::rules::{Next, Queue};
use self::senders::Senders;
use self::supervision::Supervision;
pub(crate) use self::supervision::Unfinished;
use crate::base::sync::{Mutex, MutexGuard, PoisonError};
use crate::mailbox::actor_type::ActorType;
use crate::mailbox::asking::AskingTurns;
use crate::mailbox::waiter::{Waiter, Waiters};
use crate::message::address::Address;
use crate::tables;

/// One mailbox. There is at most one in memory for an address; the directory sees to that.
pub(crate) struct Mailbox {
    pub(crate) address: Address,
    pub(crate) partition: Partition,
    pub(crate) actor_type: Arc<ActorType>,
    inner: Mutex<Inner>,
    /// Looked at without the lock at the end of each turn.
    pub(crate) asking: AskingTurns,
}

/// A mailbox that is locked.
pub(crate) type Locked<'a> = MutexGuard<'a, Inner>;

/// What the lock protects.
pub(crate) struct Inner {
    messages: Messages,
    doorbell: Doorbell<Waker>,
    queries: Queries,
    /// Who waits for what becomes of a message.
    waiters: Waiters,
    senders: Senders,
    supervision: Supervision,
    /// The message that a handler is handing over to a holder right now: the handler's failure is its.
    handover: Option<Handover>,
    /// The newest submission of this mailbox: a new activation starts only when it is durable.
    last_submitted: Position,
    /// The sweep at which there was nothing to do any more: nothing waits, or nothing that may be handled yet.
    idle_since: u64,
}

impl Mailbox {
    pub(crate) fn new(address: Address, partition: Partition, actor_type: Arc<ActorType>) -> Self {
        let inner = Inner {
            messages: Messages::new(actor_type.holds_max),
            doorbell: Doorbell::new(),
            queries: Queries::default(),
            waiters: Waiters::default(),
            senders: Senders::default(),
            supervision: Supervision::default(),
            handover: None,
            last_submitted: Position(0),
            idle_since: 0,
        };
        Self { address, partition, actor_type, inner: Mutex::new(inner), asking: AskingTurns::default() }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn id(&self) -> MailboxId {
        self.address.mailbox()
    }

    /// Where the store keeps the state.
    pub(crate) fn state_key(&self) -> Key {
        tables::mailbox(self.partition, self.id())
    }

    pub(crate) fn inbox_key(&self, position: Position) -> Key {
        tables::inbox(self.partition, position)
    }

    /// Where the store keeps its restart budget, and whether it is paused.
    pub(crate) fn supervision_key(&self) -> Key {
        tables::supervision(self.partition, self.id())
    }

    pub(crate) fn attempts_key(&self, position: Position) -> Key {
        tables::attempts(self.partition, position)
    }
}

/// What is submitted, and who waits for that.
impl Inner {
    /// Something of this mailbox was submitted.
    pub(crate) fn submitted(&mut self, ticket: Position) {
        self.last_submitted = ticket;
    }

    /// The newest submission.
    pub(crate) fn last_submitted(&self) -> Position {
        self.last_submitted
    }

    /// A message has left for good, by this submission. Returns who is to be told when that is durable.
    pub(crate) fn left(&mut self, position: Position, ticket: Position) -> Option<Waiter> {
        self.submitted(ticket);
        self.supervision.has_finished_one();
        self.waiters.take(position)
    }

    /// Who waits for what becomes of a message, to be told.
    pub(crate) fn take_waiter(&mut self, position: Position) -> Option<Waiter> {
        self.waiters.take(position)
    }

    /// Adds who waits for what becomes of the message at `position`. When the node is over it is dropped instead, which
    /// tells it.
    pub(crate) fn add_waiter(&mut self, is_over: bool, position: Position, waiter: Waiter) {
        self.waiters.add(is_over, position, waiter);
    }

    /// Whoever waits for what becomes of a message is told that it will not be.
    pub(crate) fn dismiss_waiters(&mut self) {
        self.waiters.dismiss();
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("address", &self.address).finish_non_exhaustive()
    }
}
