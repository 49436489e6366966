//! The door from outside: sending to an actor, asking it, and questions to its state.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use everpost_persistence::{Class, Position};
use tokio::sync::oneshot;

use crate::actor::{Actor, Answer, Handler};
use crate::address::AddressOf;
use crate::ask::{Ask, Outcome};
use crate::clock::Micros;
use crate::core::{Accepted, Bound, Core, Incoming};
use crate::envelope::Origin;
use crate::gate::NodeEnded;
use crate::hand::is_in_turn;
use crate::message::{Message, MessageId};
use crate::query::{Query, Question};
use crate::refusal::{QueryError, Refusal, SendError};
use crate::telemetry;

/// A reference to one actor, for code outside of turns. Cheap to clone; never stale, since it holds a name only.
///
/// ```no_run
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Deposit>(); }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, _: &mut Durable<i64>, _: Deposit, _: &mut Turn<'_>) -> Result<(), Failure> { Ok(()) }
/// # }
/// # async fn f(node: Node) -> Result<(), SendError<Deposit>> {
/// let alice = node.actor::<Account>("alice");
/// alice.send(Deposit { cents: 500 }).await?; // durable from here on
/// # Ok(()) }
/// ```
pub struct ActorHandle<A> {
    core: Arc<Core>,
    address: AddressOf<A>,
}

impl<A: Actor> ActorHandle<A> {
    pub(crate) fn new(core: Arc<Core>, address: AddressOf<A>) -> Self {
        Self { core, address }
    }

    /// The address of the actor.
    #[must_use]
    pub fn address(&self) -> &AddressOf<A> {
        &self.address
    }

    /// Sends `message`. When this returns, the message is durable and will be handled, whatever crashes. Waits for room
    /// in the mailbox and in the store's queue, and for the disk.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back; [`SendError::OutcomeUnknown`] when the node ended meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A send that is dropped has either happened as a whole or not at all.
    pub async fn send<M: Message>(&self, message: M) -> Result<MessageId, SendError<M>>
    where
        A: Handler<M>,
    {
        let receipt = self.submit(message).await?;
        let id = receipt.id();
        receipt.accepted().await.map_err(|source| SendError::OutcomeUnknown { id, source })?;
        Ok(id)
    }

    /// Sends `message` without waiting for the disk: only for room. The [`Receipt`] tells when it is durable. Messages
    /// submitted one after another are durable in that order, so waiting for the last receipt is enough.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back.
    ///
    /// # Cancel safety
    ///
    /// As [`ActorHandle::send`].
    pub async fn submit<M: Message>(&self, message: M) -> Result<Receipt, SendError<M>>
    where
        A: Handler<M>,
    {
        match self.post(&message, None).await {
            Ok(receipt) => Ok(receipt),
            Err(reason) => Err(SendError::not_accepted(message, reason)),
        }
    }

    /// As [`ActorHandle::submit`], but refuses at once where that would wait for room.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back.
    pub fn try_send<M: Message>(&self, message: M) -> Result<Receipt, SendError<M>>
    where
        A: Handler<M>,
    {
        match self.try_post(&message) {
            Ok(receipt) => Ok(receipt),
            Err(reason) => Err(SendError::not_accepted(message, reason)),
        }
    }

    /// Sends `message` and waits for the reply of its handler. The message is as durable as one that was sent; the reply
    /// leaves when its turn is durable. Awaited with [`Ask::timeout`] or the node's `ask_timeout`.
    ///
    /// # Errors
    ///
    /// [`AskError`](crate::AskError) says whether the message was accepted, and what became of it as far as is known.
    pub fn ask<M: Message>(&self, message: M) -> Ask<'_, A, M>
    where
        A: Handler<M>,
    {
        Ask::new(self, message, self.core.config.ask_timeout)
    }

    /// Puts a volatile question to the actor's state: never stored, answered at most once, between two turns. The answer
    /// leaves when the state that it saw is durable. Awaited with [`Query::timeout`] or the node's `ask_timeout`.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; a question leaves no trace, so it may be asked again.
    pub fn query<Q: Message>(&self, question: Q) -> Query<'_, A, Q>
    where
        A: Answer<Q>,
    {
        Query::new(self, question, self.core.config.ask_timeout)
    }

    /// Hands a question to the activation, and waits for the answer.
    pub(crate) async fn answer_to<Q: Message>(&self, question: Q) -> Result<Q::Reply, QueryError>
    where
        A: Answer<Q>,
    {
        self.check_intake()?;
        let not_here = Refusal::NotHandled { actor_type: A::TYPE, message: Q::NAME };
        let kind = self.core.kinds.get(A::TYPE).ok_or(not_here)?;
        let open = Arc::clone(&self.core.questions);
        let permit = open.acquire_owned().await.map_err(|_| QueryError::Lost)?;
        let (waiter, answer) = oneshot::channel();
        let question = Box::new(Question::<A>::new(question, waiter, permit));
        loop {
            let mailbox = self.core.directory.mailbox(self.address.address(), kind);
            let mut inner = mailbox.lock();
            if !inner.retired {
                inner.questions.push_back(question);
                inner.ring(&mailbox);
                break;
            }
        }
        answer.await.map_err(|_| QueryError::Lost)
    }

    /// Waits for room, then enqueues in one step.
    pub(crate) async fn post<M: Message>(
        &self,
        message: &M,
        waiter: Option<oneshot::Sender<Outcome>>,
    ) -> Result<Receipt, Refusal>
    where
        A: Handler<M>,
    {
        let (id, mut incoming) = self.prepare(message, waiter)?;
        loop {
            let permit = self.core.store.reserve(Class::Outside, incoming.envelope.len()).await?;
            let full = match self.core.enqueue(permit, Bound::Outside, incoming) {
                Ok(accepted) => return Ok(self.receipt::<M>(id, &accepted)),
                Err(full) => full,
            };
            incoming = full.incoming;
            self.wait_for_room(&full.mailbox).await?;
        }
    }

    fn try_post<M: Message>(&self, message: &M) -> Result<Receipt, Refusal>
    where
        A: Handler<M>,
    {
        let (id, incoming) = self.prepare(message, None)?;
        let permit = self.core.store.try_reserve(Class::Outside, incoming.envelope.len())?;
        match self.core.enqueue(permit, Bound::Outside, incoming) {
            Ok(accepted) => Ok(self.receipt::<M>(id, &accepted)),
            Err(_) => Err(Refusal::MailboxFull { messages_max: self.core.config.mailbox_messages_max }),
        }
    }

    fn prepare<M: Message>(
        &self,
        message: &M,
        waiter: Option<oneshot::Sender<Outcome>>,
    ) -> Result<(MessageId, Incoming<'_>), Refusal>
    where
        A: Handler<M>,
    {
        self.check_intake()?;
        let id = MessageId::random();
        let origin = Origin { id, sender: None, trace: None, sent_at: Micros::now(), keep_reply: false };
        let address = self.address.address();
        let (kind, envelope) = self.core.seal::<A, M>(address, origin, message)?;
        Ok((id, Incoming { kind, address, envelope, waiter, question: None }))
    }

    fn check_intake(&self) -> Result<(), Refusal> {
        if is_in_turn() {
            return Err(Refusal::InsideTurn);
        }
        if self.core.is_stopping() {
            return Err(Refusal::Stopping);
        }
        Ok(())
    }

    /// Waits until a message has left the mailbox, or it is not full after all.
    async fn wait_for_room(&self, mailbox: &crate::mailbox::Mailbox) -> Result<(), Refusal> {
        let _counted = mailbox.count_sender();
        let mut room = pin!(mailbox.room.notified());
        room.as_mut().enable();
        let full = mailbox.lock().rules.len() >= self.core.config.mailbox_messages_max;
        if full {
            room.await;
        }
        self.check_intake()
    }

    fn receipt<M: Message>(&self, id: MessageId, accepted: &Accepted) -> Receipt {
        telemetry::log_submitted(&self.core.name, self.address.address(), M::NAME, id, accepted.position);
        Receipt { core: Arc::clone(&self.core), id, ticket: accepted.ticket }
    }
}

impl<A> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), address: self.address.clone() }
    }
}

impl<A> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActorHandle").field(&self.address).finish()
    }
}

/// Proof that a message was submitted: it tells when the message is durable.
#[must_use = "the message is durable only when the receipt says so"]
pub struct Receipt {
    core: Arc<Core>,
    id: MessageId,
    ticket: Position,
}

impl Receipt {
    /// The identity of the message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Whether the message is durable by now.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.ticket <= self.core.store.durable()
    }

    /// Waits until the message is durable.
    ///
    /// # Errors
    ///
    /// The node ended before it said so: after a restart of the node the message is either handled, once, or never was
    /// sent.
    ///
    /// # Cancel safety
    ///
    /// The message is in its mailbox already; only the knowledge is lost.
    pub async fn accepted(self) -> Result<(), NodeEnded> {
        self.core.gate.durable(self.ticket).await
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("id", &self.id).field("accepted", &self.is_accepted()).finish()
    }
}
