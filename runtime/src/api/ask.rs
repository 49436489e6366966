//! Ask: a durable message with a reply. From outside the reply lives as long as the one who waits; from inside a turn
//! it is stored, because the turn may run, and ask, again.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Key, Position};
use everpost_transport::link::Flagged;
use ractor::ActorProcessingErr;
use tokio::sync::oneshot;

use crate::actor::Actor;
use crate::api::handle::ActorHandle;
use crate::api::post::Options;
use crate::base::clock::Deadline;
use crate::cluster::{Awaited, Inquiry, Peer};
use crate::core::{Core, Effect, LeftOutbox};
use crate::expiry::Expiry;
use crate::link::flags;
use crate::mailbox::Mailbox;
use crate::mailbox::waiter::{Outcome, Waiter};
use crate::message::address::Address;
use crate::message::decode::decode_reply;
use crate::message::priority::Priority;
use crate::message::refusal::{AskError, Refusal};
use crate::message::{Message, MessageId};
use crate::tables;

/// An ask that has not been sent yet; `.await` sends it. Made by [`ActorHandle::ask`].
///
/// # Cancel safety
///
/// Dropping it before its message is accepted may or may not leave the message behind; after that the message is
/// handled all the same, and only the reply is lost.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<'h, A, M> {
    handle: &'h ActorHandle<A>,
    message: M,
    timeout: Duration,
    options: Options,
}

impl<'h, A: Actor, M: Message> Ask<'h, A, M> {
    pub(crate) fn new(handle: &'h ActorHandle<A>, message: M, timeout: Duration) -> Self {
        Self { handle, message, timeout, options: Options::default() }
    }

    /// How long to wait for the reply, instead of the node's `ask_timeout`. The message is not taken back after it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// As [`Post::priority`](crate::Post::priority).
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// As [`Post::expires_in`](crate::Post::expires_in).
    pub fn expires_in(mut self, wait: Duration) -> Self {
        self.options.expires_in = Some(wait);
        self
    }

    /// As [`Post::when_expired`](crate::Post::when_expired).
    pub fn when_expired(mut self, expiry: Expiry) -> Self {
        self.options.when_expired = Some(expiry);
        self
    }

    /// Lets the message count once however often it is asked under this key of this address: from any node, also after a
    /// crash. All of them get the reply of the first, for the node's `idempotency_retention`.
    ///
    /// ```no_run
    /// # use everpost::*;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)] #[message(reply = u64)] struct Charge { cents: i64 }
    /// # struct Account;
    /// # impl Actor for Account {
    /// #     const TYPE: &'static str = "account"; type State = i64;
    /// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Charge>(); }
    /// # }
    /// # impl Handler<Charge> for Account {
    /// #     async fn handle(&self, _: &mut Durable<i64>, _: Charge, _: &mut Turn<'_>) -> Result<u64, Failure> { Ok(7) }
    /// # }
    /// # async fn f(node: Node) -> Result<(), AskError> {
    /// let alice = node.actor::<Account>("alice");
    /// let receipt = alice.ask(Charge { cents: 500 }).idempotency_key("order-42").await?;
    /// let again = alice.ask(Charge { cents: 500 }).idempotency_key("order-42").await?; // one turn, the same reply
    /// assert_eq!(receipt, again);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`AskError::KeyReused`] when another message was sent under this key.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.options.request = Some(self.handle.request(key));
        self
    }

    async fn run(self) -> Result<M::Reply, AskError> {
        let (waiter, reply) = oneshot::channel();
        let deadline = Deadline::after(self.timeout);
        let runtime = self.handle.runtime();
        let post = self.handle.post(&self.message, &self.options, Some(waiter));
        let posted = deadline.wait_for(runtime, post).await;
        // Nothing is awaited once the message is submitted, so that one that is late was not.
        match posted.unwrap_or(Err(Refusal::NoRoomInTime)) {
            Ok(receipt) => drop(receipt),
            Err(Refusal::KeyReused) => return Err(AskError::KeyReused),
            Err(refusal) => return Err(refusal.into()),
        }
        match deadline.wait_for(runtime, reply).await {
            Ok(told) => outcome::<M>(told.ok()),
            Err(_) => Err(AskError::Timeout(self.timeout)),
        }
    }
}

impl<'h, A: Actor, M: Message> IntoFuture for Ask<'h, A, M> {
    type Output = Result<M::Reply, AskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A, M> fmt::Debug for Ask<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Waits for what becomes of a message that another node was sent: lets the message ask for it if it has not left, and
/// asks the node otherwise. One that has expired in the outbox has never come there, unless it was replayed from its dead letter.
pub(crate) async fn inquire(core: &Core, peer: &Arc<Peer>, inquiry: Inquiry, waiter: oneshot::Sender<Outcome>) {
    let Inquiry { id, address, lane, mut position, reply } = inquiry;
    let flags = if reply { flags::TELL | flags::REPLY } else { flags::TELL };
    let delivered = {
        // In one step: what expires meanwhile finds who waits, or was found out to have expired.
        let mut outgoing = peer.outgoing();
        let mut flagged = outgoing.flag(lane, position, flags);
        if flagged == Flagged::Acknowledged {
            match core.left_outbox(id, position) {
                LeftOutbox::Over(outcome, left) => {
                    let waiter = Waiter::Here { told: waiter, reply: false };
                    return core.release_after(left, Effect::Tell(waiter, outcome));
                }
                LeftOutbox::Replayed(again) => {
                    position = again;
                    flagged = outgoing.flag(lane, position, flags);
                }
                LeftOutbox::Arrived => {}
            }
        }
        peer.pending.wait(id, Awaited { waiter, address, lane, position, reply });
        match flagged {
            Flagged::Set => return,
            Flagged::UnderWay => outgoing.wait_for_delivery(lane, position),
            Flagged::Acknowledged => None,
        }
    };
    if let Some(delivered) = delivered {
        // A node that ends before leaves the waiter to its end.
        let _ = delivered.await;
    }
    peer.inquire(id);
}

/// Where the store of the actor that is asked keeps the reply.
pub(crate) fn reply_key(core: &Core, asked: &Address, id: MessageId) -> Key {
    let partition = asked.partition(core.store.partitions());
    tables::reply(partition, asked.mailbox(), id.0)
}

/// What is known of an earlier question of a turn to an actor of this node.
pub(crate) enum Recalled {
    /// It was handled, and this is its reply.
    Stored(Bytes),
    /// It waits or is in hand, and the waiter was put to it.
    Waiting,
    /// Nothing: it was never asked, or given up on.
    Unknown(Waiter),
}

/// Looks for a question of a turn that may have been asked before.
pub(crate) async fn recall(
    core: &Core,
    asked: &Address,
    id: MessageId,
    waiter: Waiter,
) -> Result<Recalled, ActorProcessingErr> {
    let Some(waiter) = join_waiting(core, asked, id, waiter).await? else { return Ok(Recalled::Waiting) };
    let stored = core.read(reply_key(core, asked, id)).await?;
    Ok(stored.map_or(Recalled::Unknown(waiter), Recalled::Stored))
}

/// Puts the waiter to a question of a turn that waits or is in hand. Hands it back when there is none: then the store has the
/// reply, or nobody has asked.
pub(crate) async fn join_waiting(
    core: &Core,
    asked: &Address,
    id: MessageId,
    waiter: Waiter,
) -> Result<Option<Waiter>, ActorProcessingErr> {
    loop {
        match core.kept_replies.get(id) {
            Some(KeptReply::Waiting { mailbox, position }) if mailbox.id() == asked.mailbox() => {
                let mut inner = mailbox.lock();
                if inner.rules.contains(position) {
                    inner.asks.add(&core.gate, position, waiter);
                    core.quarantine.admit(mailbox.id(), position);
                    inner.await_message(position);
                    inner.ring(&mailbox);
                    return Ok(None);
                }
                // It was finished between the two looks: look again.
            }
            Some(KeptReply::Submitted(ticket)) => core.gate.durable(ticket).await?,
            Some(KeptReply::Waiting { .. } | KeptReply::Abandoned(_)) | None => return Ok(Some(waiter)),
        }
        tokio::task::yield_now().await;
    }
}

/// The questions of turns to actors of this node that are under way, by id. What is not here is in the store, or was never
/// asked.
#[derive(Debug, Default)]
pub(crate) struct KeptReplies {
    by_id: Mutex<HashMap<u128, KeptReply>>,
}

/// The same in one step that submits something to the store: what is found here and what is submitted because of it are
/// one. Otherwise a question could be handled while the turn that asked ends without it, and neither would delete the
/// reply; or what is deleted because that turn is over could be durable before it is over. Locked from the first look
/// until it is dropped; after dead letters, and before timers and the store's queue.
#[derive(Debug)]
pub(crate) struct RepliesInStep<'a> {
    replies: &'a KeptReplies,
    locked: Option<MutexGuard<'a, HashMap<u128, KeptReply>>>,
}

#[derive(Clone, Debug)]
pub(crate) enum KeptReply {
    /// Not handled yet.
    Waiting { mailbox: Arc<Mailbox>, position: Position },
    /// Not handled yet, and nobody wants the reply any more. Where the store of the turn that asked says what was asked, if that
    /// is this one.
    Abandoned(Option<Key>),
    /// Handled; the reply is in the store once this is durable.
    Submitted(Position),
}

impl KeptReplies {
    pub(crate) fn waiting(&self, id: MessageId, mailbox: &Arc<Mailbox>, position: Position) {
        lock(&self.by_id).insert(id.0, KeptReply::Waiting { mailbox: Arc::clone(mailbox), position });
    }

    pub(crate) fn stored(&self, id: u128) {
        lock(&self.by_id).remove(&id);
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<KeptReply> {
        lock(&self.by_id).get(&id.0).cloned()
    }

    /// For a step that submits what it decides here.
    pub(crate) fn in_step(&self) -> RepliesInStep<'_> {
        RepliesInStep { replies: self, locked: None }
    }
}

impl<'a> RepliesInStep<'a> {
    /// The turn that asked has ended without the reply. False when the question is not waiting any more.
    pub(crate) fn abandon(&mut self, id: MessageId, note: Option<Key>) -> bool {
        match self.by_id().get_mut(&id.0) {
            Some(kept @ KeptReply::Waiting { .. }) => {
                *kept = KeptReply::Abandoned(note);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn submitted(&mut self, id: MessageId, ticket: Position) {
        self.by_id().insert(id.0, KeptReply::Submitted(ticket));
    }

    /// The question was given up on, so that there will be no reply.
    pub(crate) fn take(&mut self, id: MessageId) -> Option<KeptReply> {
        self.by_id().remove(&id.0)
    }

    pub(crate) fn get(&mut self, id: MessageId) -> Option<KeptReply> {
        self.by_id().get(&id.0).cloned()
    }

    fn by_id(&mut self) -> &mut HashMap<u128, KeptReply> {
        let replies: &'a KeptReplies = self.replies;
        self.locked.get_or_insert_with(|| lock(&replies.by_id))
    }
}

pub(crate) fn outcome<M: Message>(outcome: Option<Outcome>) -> Result<M::Reply, AskError> {
    match outcome {
        Some(Outcome::Replied(reply)) => decode_reply(&reply).map_err(AskError::Reply),
        Some(Outcome::Handled) => Err(AskError::ReplyLost),
        Some(Outcome::GivenUp(reason)) => Err(AskError::GivenUp(reason)),
        Some(Outcome::KeyReused) => Err(AskError::KeyReused),
        Some(Outcome::Undeliverable(reason)) => Err(AskError::Undeliverable(reason)),
        Some(Outcome::Expired) => Err(AskError::Expired),
        None => Err(AskError::Stopped),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
