//! A message with what its sender says about its delivery, before it is sent.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::actor::Actor;
use crate::api::handle::ActorHandle;
use crate::api::receipt::Receipt;
use crate::base::clock::Now;
use crate::expiry::{Expires, Expiry};
use crate::message::envelope::{Extension, Origin};
use crate::message::priority::Priority;
use crate::message::refusal::SendError;
use crate::message::{Message, MessageId};
use crate::request::RequestId;

/// How a message is to be delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) priority: Priority,
    /// After which wait it expires; none for never.
    pub(crate) expires_in: Option<Duration>,
    /// What becomes of it then; none for what its actor type says.
    pub(crate) when_expired: Option<Expiry>,
    /// Its idempotency key.
    pub(crate) request: Option<RequestId>,
}

impl Options {
    /// Says it in the headers of a message that is sent now.
    pub(crate) fn apply<'a>(&self, origin: Origin<'a>, now: Now) -> Origin<'a> {
        let extension = Extension::of_request(self.request);
        let expires = self.expires_in.map(|wait| Expires { at: now.steady.plus(wait), then: self.when_expired });
        Origin { priority: self.priority, expires, extension, ..origin }
    }
}

/// A message that has not been sent yet; `.await` sends it, as [`ActorHandle::send`] describes.
///
/// # Cancel safety
///
/// A send that is dropped has either happened as a whole or not at all.
#[must_use = "a message is sent when it is awaited"]
pub struct Post<'h, A, M> {
    handle: &'h ActorHandle<A>,
    message: M,
    options: Options,
}

impl<'h, A: Actor, M: Message> Post<'h, A, M> {
    pub(crate) fn new(handle: &'h ActorHandle<A>, message: M) -> Self {
        Self { handle, message, options: Options::default() }
    }

    /// Which of the messages that wait in the mailbox goes first.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// From `wait` after it was sent on the message is not handled any more: it leaves its mailbox, wherever it waits there, or the outbox, and is
    /// dropped or becomes a dead letter, as [`when_expired`](Self::when_expired) says. One whose handler runs by then is handled
    /// to its end. Whoever waits for it is told.
    pub fn expires_in(mut self, wait: Duration) -> Self {
        self.options.expires_in = Some(wait);
        self
    }

    /// What becomes of the message if it expires, whatever its actor type says ([`Actor::EXPIRED`]). Says nothing without
    /// [`expires_in`](Self::expires_in). Nodes of builds that do not know it refuse such a message.
    pub fn when_expired(mut self, expiry: Expiry) -> Self {
        self.options.when_expired = Some(expiry);
        self
    }

    /// Lets the message count once however often it is sent under this key to this address: from any node, also after a
    /// crash. What came of the first is kept for the node's `idempotency_retention`. What makes two messages the same is the choice of
    /// their type ([`Message::identify`]). The same key with another message is refused ([`Refusal::KeyReused`](crate::Refusal::KeyReused)), or that
    /// message becomes a dead letter ([`Reason::KeyReused`](crate::Reason::KeyReused)) where it is found out later: when the first still waits, or when its
    /// node cannot be asked at the moment.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.options.request = Some(self.handle.request(key));
        self
    }

    /// Sends without waiting for the disk, as [`ActorHandle::submit`].
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back.
    ///
    /// # Cancel safety
    ///
    /// As [`ActorHandle::submit`].
    pub async fn submit(self) -> Result<Receipt, SendError<M>> {
        match self.handle.post(&self.message, &self.options, None).await {
            Ok(receipt) => Ok(receipt),
            Err(reason) => Err(SendError::not_accepted(self.message, reason)),
        }
    }

    /// Sends without waiting for anything, as [`ActorHandle::try_send`].
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back.
    pub fn try_send(self) -> Result<Receipt, SendError<M>> {
        match self.handle.try_post(&self.message, &self.options) {
            Ok(receipt) => Ok(receipt),
            Err(reason) => Err(SendError::not_accepted(self.message, reason)),
        }
    }

    async fn run(self) -> Result<MessageId, SendError<M>> {
        let receipt = self.submit().await?;
        let id = receipt.id();
        receipt.accepted().await.map_err(|source| SendError::OutcomeUnknown { id, source })?;
        Ok(id)
    }
}

impl<'h, A: Actor, M: Message> IntoFuture for Post<'h, A, M> {
    type Output = Result<MessageId, SendError<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A, M> fmt::Debug for Post<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("options", &self.options).finish_non_exhaustive()
    }
}
