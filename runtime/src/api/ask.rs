//! Ask: a durable message with a reply. From outside the reply lives as long as the one who waits; from inside a turn
//! it is stored, because the turn may run, and ask, again.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::actor::Actor;
use crate::api::handle::ActorHandle;
use crate::api::sending;
use crate::base::clock::Deadline;
use crate::message::Message;
use crate::message::expiry::Expiry;
use crate::message::options::Options;
use crate::message::outcome::reply_of;
use crate::message::priority::Priority;
use crate::message::refusal::{AskError, Refusal};
use crate::shard::Unmet;

/// An ask that has not been sent yet; `.await` sends it. Made by [`ActorHandle::ask`].
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
/// let balance = alice.ask(Deposit { cents: 500 }).timeout(Duration::from_secs(5)).await?;
/// assert_eq!(balance, 500);
/// # node.stop().await?;
/// # Ok(()) }
/// ```
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

    /// As [`SendBuilder::priority`](crate::SendBuilder::priority).
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// As [`SendBuilder::expires_in`](crate::SendBuilder::expires_in).
    pub fn expires_in(mut self, wait: Duration) -> Self {
        self.options.expires_in = Some(wait);
        self
    }

    /// As [`SendBuilder::when_expired`](crate::SendBuilder::when_expired).
    pub fn when_expired(mut self, expiry: Expiry) -> Self {
        self.options.when_expired = Some(expiry);
        self
    }

    /// Lets the message count once however often it is asked under this key of this address: from any node, also after
    /// a crash. All of them get the reply of the first, for the node's `idempotency_retention`.
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
    /// #     async fn handle(&self, _: &mut Durable<i64>, _: Charge, _: &mut Turn<'_>)
    /// #         -> Result<u64, Failure> { Ok(7) }
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
        let shard = self.handle.current.get();
        let submit = self.handle.submit(Arc::clone(&shard), &self.message, &self.options, Some(waiter));
        let posted = shard.within(deadline, submit).await;
        // Nothing is awaited once the message is submitted, so that one that is late was not.
        let posted = posted.unwrap_or_else(|unmet| match unmet {
            Unmet::Late => Err(Refusal::NoRoomInTime),
            Unmet::Over => Err(sending::ended(&shard)),
        });
        match posted {
            Ok(receipt) => drop(receipt),
            Err(Refusal::KeyReused) => return Err(AskError::KeyReused),
            Err(refusal) => return Err(refusal.into()),
        }
        match shard.within(deadline, reply).await {
            Ok(told) => reply_of::<M>(told.ok()),
            Err(Unmet::Over) => reply_of::<M>(None),
            Err(Unmet::Late) => Err(AskError::Timeout(self.timeout)),
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
