//! A message with what its sender says about its delivery, before it is sent.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::actor::Actor;
use crate::api::handle::ActorHandle;
use crate::api::receipt::Receipt;
use crate::message::expiry::Expiry;
use crate::message::options::Options;
use crate::message::priority::Priority;
use crate::message::refusal::SendError;
use crate::message::{Message, MessageId};

/// A message that has not been sent yet; `.await` sends it, as [`ActorHandle::send`] describes.
///
/// ```
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Deposit>(); }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<i64, Failure> {
/// #         **balance += deposit.cents;
/// #         Ok(**balance)
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
/// # use std::time::Duration;
/// let alice = node.actor::<Account>("alice");
/// alice.send(Deposit { cents: 1 }).await?; // waits for the disk
/// alice.send(Deposit { cents: 2 }).priority(Priority::High).expires_in(Duration::from_secs(60)).await?;
/// alice.send(Deposit { cents: 3 }).idempotency_key("order-42").await?;
///
/// let receipt = alice.send(Deposit { cents: 4 }).submit().await?; // waits for room only
/// receipt.accepted().await?; // and this for the disk
/// # node.stop().await?;
/// # Ok(()) }
/// ```
///
/// # Cancel safety
///
/// A send that is dropped has either happened as a whole or not at all.
#[must_use = "a message is sent when it is awaited"]
pub struct SendBuilder<'h, A, M> {
    handle: &'h ActorHandle<A>,
    message: M,
    options: Options,
}

impl<'h, A: Actor, M: Message> SendBuilder<'h, A, M> {
    pub(crate) fn new(handle: &'h ActorHandle<A>, message: M) -> Self {
        Self { handle, message, options: Options::default() }
    }

    /// Which of the messages that wait in the mailbox goes first.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// From `wait` after it was sent on the message is not handled any more: it leaves its mailbox, wherever it waits
    /// there, or the outbox, and is dropped or becomes a dead letter, as [`when_expired`](Self::when_expired) says. One
    /// whose handler runs by then is handled to its end. Whoever waits for it is told.
    pub fn expires_in(mut self, wait: Duration) -> Self {
        self.options.expires_in = Some(wait);
        self
    }

    /// What becomes of the message if it expires, whatever its actor type says ([`Actor::WHEN_EXPIRED`]). Says nothing
    /// without [`expires_in`](Self::expires_in). Nodes of builds that do not know it refuse such a message.
    pub fn when_expired(mut self, expiry: Expiry) -> Self {
        self.options.when_expired = Some(expiry);
        self
    }

    /// Lets the message count once however often it is sent under this key to this address: from any node, also after a
    /// crash. What came of the first is kept for the node's `idempotency_retention`. What makes two messages the same
    /// is the choice of their type ([`Message::fingerprint`]). The same key with another message is refused
    /// ([`Refusal::KeyReused`](crate::Refusal::KeyReused)), or that message becomes a dead letter
    /// ([`Reason::KeyReused`](crate::Reason::KeyReused)) where it is found out later: when the first still waits, or
    /// when its node cannot be asked at the moment.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.options.request = Some(self.handle.request(key));
        self
    }

    /// Sends without waiting for the disk: only for room. The [`Receipt`] tells when the message is durable. Messages
    /// that are submitted one after another are durable in that order, so waiting for the last receipt is enough.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back.
    ///
    /// # Cancel safety
    ///
    /// A send that is dropped has either happened as a whole or not at all.
    pub async fn submit(self) -> Result<Receipt, SendError<M>> {
        match self.handle.submit(self.handle.current.get(), &self.message, &self.options, None).await {
            Ok(receipt) => Ok(receipt),
            Err(reason) => Err(SendError::not_accepted(self.message, reason)),
        }
    }

    /// As [`submit`](Self::submit), but refuses at once where that would wait for room.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back.
    pub fn try_submit(self) -> Result<Receipt, SendError<M>> {
        match self.handle.try_submit(&self.message, &self.options) {
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

impl<'h, A: Actor, M: Message> IntoFuture for SendBuilder<'h, A, M> {
    type Output = Result<MessageId, SendError<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A, M> fmt::Debug for SendBuilder<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
