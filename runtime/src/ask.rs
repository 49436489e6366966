//! Ask: a durable message with a reply. From outside the reply lives as long as the one who waits; from inside a turn
//! it is stored, because the turn may run, and ask, again.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Class, Key, MailboxId, Position};
use tokio::sync::oneshot;

use crate::actor::Handler;
use crate::address::Address;
use crate::core::{Bound, Core, Incoming};
use crate::envelope::Origin;
use crate::handle::ActorHandle;
use crate::mailbox::Mailbox;
use crate::message::{Message, MessageId};
use crate::refusal::AskError;
use crate::refusal::Refusal;

/// How an ask ended, for whoever waits.
#[derive(Debug)]
pub(crate) enum Outcome {
    Replied(Bytes),
    GivenUp(String),
}

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
}

impl<'h, A: Handler<M>, M: Message> Ask<'h, A, M> {
    pub(crate) fn new(handle: &'h ActorHandle<A>, message: M, timeout: Duration) -> Self {
        Self { handle, message, timeout }
    }

    /// How long to wait for the reply, instead of the node's `ask_timeout`. The message is not taken back after it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(self) -> Result<M::Reply, AskError> {
        let (waiter, reply) = oneshot::channel();
        let timeout = self.timeout;
        let sent = async {
            let _receipt = self.handle.post(&self.message, Some(waiter)).await?;
            outcome::<M>(reply.await.ok())
        };
        tokio::time::timeout(timeout, sent).await.unwrap_or(Err(AskError::Timeout(timeout)))
    }
}

impl<'h, A: Handler<M>, M: Message> IntoFuture for Ask<'h, A, M> {
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

/// A question from inside a turn.
pub(crate) struct TurnAsk<'a> {
    core: &'a Arc<Core>,
    asking: MailboxId,
    to: &'a Address,
    id: MessageId,
}

impl<'a> TurnAsk<'a> {
    /// Notes that `asking` waits for `to`; refuses when that closes a circle.
    pub(crate) fn new(core: &'a Arc<Core>, asking: &Mailbox, to: &'a Address, id: MessageId) -> Result<Self, AskError> {
        let mut waits_for = lock(&core.waits_for);
        let mut next = Some(to.mailbox());
        while let Some(mailbox) = next {
            if mailbox == asking.id() {
                return Err(AskError::WouldDeadlock { to: to.to_string() });
            }
            next = waits_for.get(&mailbox).copied();
        }
        waits_for.insert(asking.id(), to.mailbox());
        Ok(Self { core, asking: asking.id(), to, id })
    }

    pub(crate) fn reply_key(&self) -> Key {
        let partition = self.to.partition(self.core.store.partitions());
        Key::Reply { partition, mailbox: self.to.mailbox(), request: self.id.0 }
    }

    /// Asks, unless an earlier attempt of the turn has asked already: then waits for what came of that.
    pub(crate) async fn ask<A: Handler<M>, M: Message>(
        self,
        origin: Origin<'_>,
        message: &M,
    ) -> Result<M::Reply, AskError> {
        let timeout = self.core.config.ask_timeout;
        let asked = async {
            let reply = match self.earlier().await? {
                Earlier::Replied(reply) => return outcome::<M>(Some(Outcome::Replied(reply))),
                Earlier::Waiting(reply) => reply,
                Earlier::None => self.post::<A, M>(origin, message).await?,
            };
            outcome::<M>(reply.await.ok())
        };
        tokio::time::timeout(timeout, asked).await.unwrap_or(Err(AskError::Timeout(timeout)))
    }

    async fn earlier(&self) -> Result<Earlier, AskError> {
        loop {
            match self.core.kept_replies.get(self.id) {
                Some(KeptReply::Waiting { mailbox, position }) => {
                    let mut inner = mailbox.lock();
                    if inner.rules.contains(position) {
                        let (waiter, reply) = oneshot::channel();
                        inner.asks.insert(position, waiter);
                        self.core.quarantine.admit(mailbox.id(), position);
                        inner.ring(&mailbox);
                        return Ok(Earlier::Waiting(reply));
                    }
                    // It was finished between the two looks: look again.
                }
                Some(KeptReply::Submitted(ticket)) => {
                    self.core.gate.durable(ticket).await.map_err(|_| AskError::Stopped)?
                }
                None => break,
            }
            tokio::task::yield_now().await;
        }
        let stored = self.core.read(self.reply_key()).await.map_err(|_| AskError::Stopped)?;
        Ok(stored.map_or(Earlier::None, Earlier::Replied))
    }

    async fn post<A: Handler<M>, M: Message>(
        &self,
        origin: Origin<'_>,
        message: &M,
    ) -> Result<oneshot::Receiver<Outcome>, AskError> {
        let (kind, envelope) = self.core.seal::<A, M>(self.to, origin, message)?;
        let permit =
            self.core.store.reserve(Class::Turn { grows: true }, envelope.len()).await.map_err(Refusal::Store)?;
        let (waiter, reply) = oneshot::channel();
        let incoming = Incoming { kind, address: self.to, envelope, waiter: Some(waiter), question: Some(self.id) };
        self.core.enqueue(permit, Bound::Turn, incoming).expect("a turn is not bound by a full mailbox");
        Ok(reply)
    }
}

impl Drop for TurnAsk<'_> {
    fn drop(&mut self) {
        lock(&self.core.waits_for).remove(&self.asking);
    }
}

/// What an earlier attempt of the turn left behind.
enum Earlier {
    None,
    Waiting(oneshot::Receiver<Outcome>),
    Replied(Bytes),
}

/// The questions of turns that are under way, by id. What is not here is in the store, or was never asked.
#[derive(Debug, Default)]
pub(crate) struct KeptReplies {
    by_id: Mutex<HashMap<u128, KeptReply>>,
}

#[derive(Clone, Debug)]
pub(crate) enum KeptReply {
    /// Not handled yet.
    Waiting { mailbox: Arc<Mailbox>, position: Position },
    /// Handled; the reply is in the store once this is durable.
    Submitted(Position),
}

impl KeptReplies {
    pub(crate) fn waiting(&self, id: MessageId, mailbox: &Arc<Mailbox>, position: Position) {
        lock(&self.by_id).insert(id.0, KeptReply::Waiting { mailbox: Arc::clone(mailbox), position });
    }

    pub(crate) fn submitted(&self, id: MessageId, ticket: Position) {
        lock(&self.by_id).insert(id.0, KeptReply::Submitted(ticket));
    }

    pub(crate) fn stored(&self, id: u128) {
        lock(&self.by_id).remove(&id);
    }

    fn get(&self, id: MessageId) -> Option<KeptReply> {
        lock(&self.by_id).get(&id.0).cloned()
    }
}

fn outcome<M: Message>(outcome: Option<Outcome>) -> Result<M::Reply, AskError> {
    match outcome {
        Some(Outcome::Replied(reply)) => postcard::from_bytes(&reply).map_err(AskError::Reply),
        Some(Outcome::GivenUp(reason)) => Err(AskError::GivenUp(reason)),
        None => Err(AskError::Stopped),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
