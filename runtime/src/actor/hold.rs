//! Manual acknowledgement: a message that someone holds until they say what is to become of it, from any task, also
//! after other messages were handled.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::actor::{Actor, Receives};
use crate::engine::acknowledge::acknowledge;
use crate::engine::failing::{TakenBack, take_back};
use crate::engine::holding::Held;
use crate::engine::holding::HoldError;
use crate::engine::holding::dropped;
use crate::message::address::Address;
use crate::message::envelope::Origin;
use crate::message::failure::Failure;
use crate::message::{Message, MessageId};

/// Handles one type of message with manual acknowledgement: without the actor's state and without the effects of a
/// turn, but with a [`Hold`], which may outlive the call. For work that takes long, or goes on elsewhere.
///
/// Registered by [`Handlers::on_hold`](crate::Handlers::on_hold). The calls of one address come one after
/// another: spawn a task with the hold to let the next message be delivered meanwhile, up to
/// [`Actor::HOLDS_MAX`]. Messages that are held or come back are in no order.
///
/// ```
/// use everpost::{Actor, Failure, Handlers, Hold, HoldHandler, Message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// struct Resize { picture: String }
///
/// struct Pictures;
///
/// impl Actor for Pictures {
///     const TYPE: &'static str = "pictures";
///     type State = ();
///     fn handlers(handlers: &mut Handlers<Self>) { handlers.on_hold::<Resize>(); }
/// }
///
/// impl HoldHandler<Resize> for Pictures {
///     async fn handle(&self, resize: Resize, hold: Hold<Self>) -> Result<(), Failure> {
///         tokio::spawn(async move {
///             // ... `resize.picture`, for a minute or two, with `hold.progress()` now and then ...
///             let _ = (resize, hold.ack().await); // nobody else gets it any more
///         });
///         Ok(())
///     }
/// }
/// ```
pub trait HoldHandler<M: Message<Reply = ()>>: Actor {
    /// Begins to handle `message`. May run more than once for one message: until an acknowledgement is durable.
    ///
    /// # Errors
    ///
    /// A [`Failure`] gives the message back, as [`Hold::nack`] does, if it was not decided on before.
    ///
    /// # Panics
    ///
    /// A panic gives the message back too, with its text as the reason.
    ///
    /// # Cancel safety
    ///
    /// The node drops the future at an await when it takes longer than [`Actor::TIME_LIMIT`], and when a stop does not
    /// wait for it any longer. The first gives the message back like a failure, unless it was decided on before: a hold
    /// that was moved to another task decides nothing any more ([`HoldError::TakenBack`]).
    fn handle(&self, message: M, hold: Hold<Self>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A message that is delivered and not acknowledged. Whoever has it decides, once: [`ack`](Hold::ack),
/// [`ack_and_send`](Hold::ack_and_send), [`nack`](Hold::nack) or [`reject`](Hold::reject). One that is dropped, or kept
/// for longer than [`Actor::HOLD_LIMIT`] without [`progress`](Hold::progress), has failed, and its message is delivered
/// again. What is dropped while its handler runs fails when that ends: with the handler's own failure, if it has one.
///
/// ```
/// use everpost::{Actor, Failure, Handlers, Hold, HoldHandler, Message, Node};
/// use serde::{Deserialize, Serialize};
/// use std::time::Duration;
///
/// #[derive(Serialize, Deserialize, Message)]
/// struct Resize { picture: String }
///
/// struct Pictures;
///
/// impl Actor for Pictures {
///     const TYPE: &'static str = "pictures";
///     type State = ();
///     fn handlers(handlers: &mut Handlers<Self>) { handlers.on_hold::<Resize>(); }
/// }
///
/// impl HoldHandler<Resize> for Pictures {
///     async fn handle(&self, resize: Resize, hold: Hold<Self>) -> Result<(), Failure> {
///         tokio::spawn(async move {
///             let decided = match work(&resize.picture).await {
///                 Ok(()) => hold.ack().await,
///                 Err(error) if hold.attempt() < 5 => hold.nack(Duration::from_secs(60), error).await,
///                 Err(error) => hold.reject(error).await, // a dead letter
///             };
///             // An error says whether the message comes back.
///             decided
///         });
///         Ok(())
///     }
/// }
/// # async fn work(_: &str) -> Result<(), String> { Ok(()) }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Pictures).start().await?;
/// let pictures = node.actor::<Pictures>("all");
/// let receipt = pictures.send(Resize { picture: "cat.png".to_owned() }).submit().await?;
/// receipt.processed().await?; // acknowledged
/// # node.stop().await?;
/// # Ok(()) }
/// ```
pub struct Hold<A> {
    held: Option<Held>,
    actor: PhantomData<fn() -> A>,
}

impl<A: Actor> Hold<A> {
    pub(crate) fn new(held: Held) -> Self {
        Self { held: Some(held), actor: PhantomData }
    }

    /// The message is done. Durable when this returns; whoever waits for it is told.
    ///
    /// # Errors
    ///
    /// [`HoldError`] says whether the message comes back.
    ///
    /// # Cancel safety
    ///
    /// One that is dropped has happened as a whole, or the message comes back.
    pub async fn ack(mut self) -> Result<(), HoldError> {
        self.acknowledge(None).await
    }

    /// The message is done, and `message` goes to the actor whose message it was, in the same commit: so the outcome
    /// reaches its state.
    ///
    /// # Errors
    ///
    /// As [`Hold::ack`].
    ///
    /// # Cancel safety
    ///
    /// As [`Hold::ack`].
    pub async fn ack_and_send<M: Message, Form>(mut self, message: M) -> Result<(), HoldError>
    where
        A: Receives<M, Form>,
    {
        let held = self.held();
        let address = &held.mailbox.address;
        let origin = Origin {
            sender: Some(address.as_str()),
            trace: Some(held.trace),
            ..Origin::plain(held.id.sent(0), held.shard.clock.wall())
        };
        let sealed = held.shard.seal(A::TYPE, address, origin, &message);
        let (_, envelope) = sealed.map_err(HoldError::NotSent)?;
        self.acknowledge(Some(envelope)).await
    }

    /// Gives the message back: it is delivered again after `retry_after`. Counts as a failed attempt. Durable when this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`HoldError::TakenBack`] when that has happened before; [`HoldError::OutcomeUnknown`] when the node ended
    /// meanwhile: the message comes back in any case.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, the message is given back although the call is dropped.
    pub async fn nack(self, retry_after: Duration, reason: impl fmt::Display) -> Result<(), HoldError> {
        self.give_back(Failure::retry_after(retry_after, reason)).await
    }

    /// Gives up on the message: it goes to the dead letters with this reason. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`HoldError::TakenBack`] when it was taken back before; [`HoldError::OutcomeUnknown`] when the node ended
    /// meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, the message is given up on although the call is dropped.
    pub async fn reject(self, reason: impl fmt::Display) -> Result<(), HoldError> {
        self.give_back(Failure::reject(reason)).await
    }

    /// Says that the work goes on: from now on it may take [`Actor::HOLD_LIMIT`] again.
    ///
    /// # Errors
    ///
    /// [`HoldError::TakenBack`] when the message was taken back: stop working on it.
    pub fn progress(&self) -> Result<(), HoldError> {
        let Held { shard, mailbox, position, attempt, limit, .. } = self.held();
        let deadline = shard.clock.steady().plus(*limit);
        let is_held = mailbox.lock().extend_hold(*position, *attempt, deadline);
        if is_held { Ok(()) } else { Err(HoldError::TakenBack) }
    }

    /// The address of the actor whose message this is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.held().mailbox.address
    }

    /// The identity of the message.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        self.held().id
    }

    /// Which attempt this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.held().attempt
    }

    /// As [`Turn::idempotency_key`](crate::Turn::idempotency_key).
    #[must_use]
    pub fn idempotency_key(&self, label: &str) -> String {
        self.held().root.idempotency_key(label)
    }

    async fn acknowledge(&mut self, send: Option<bytes::Bytes>) -> Result<(), HoldError> {
        let held = self.held().clone();
        let ticket = acknowledge(&held, send).await?;
        // It is decided from here on, durable or not.
        self.held = None;
        Ok(held.shard.gate.durable(ticket).await?)
    }

    async fn give_back(mut self, failure: Failure) -> Result<(), HoldError> {
        let Held { shard, mailbox, position, attempt, .. } = self.held.take().expect("it is decided once");
        match take_back(&shard, &mailbox, position, Some(attempt), failure).await {
            TakenBack::Before => Err(HoldError::TakenBack),
            TakenBack::Now(Some(ticket)) => Ok(shard.gate.durable(ticket).await?),
            TakenBack::Now(None) => Err(shard.gate.ended().into()),
        }
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("it is there until it is decided, which takes the hold")
    }
}

impl<A> Drop for Hold<A> {
    fn drop(&mut self) {
        let Some(Held { shard, mailbox, position, attempt, .. }) = self.held.take() else { return };
        if mailbox.lock().is_dropped_in_handler(position, attempt) {
            return;
        }
        // Not here, since this may be a thread without a runtime. If the program's has gone the hold was dropped with
        // it, which is no failure of the message: it comes back with the next start.
        let taking = Arc::clone(&shard);
        shard.begin_beside_handlers("a hold that was dropped", async move {
            take_back(&taking, &mailbox, position, Some(attempt), dropped()).await;
        });
    }
}

impl<A> fmt::Debug for Hold<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.as_ref();
        f.debug_struct("Hold").field("message", &held.map(|held| held.id)).finish_non_exhaustive()
    }
}
