//! The door from outside: sending to an actor, asking it, and queries to its state.

mod timers;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::actor::address_of::AddressOf;
use crate::actor::query::{Answered, PendingQuery};
use crate::actor::{Actor, QueryHandler, Receives};
use crate::api::ask::Ask;
use crate::api::query::Query;
use crate::api::receipt::Receipt;
use crate::api::send_builder::SendBuilder;
use crate::api::sending;
use crate::api::sending::{has_room, no_room, sending, try_send};
use crate::base::clock::Deadline;
use crate::cluster::Peer;
use crate::cluster::note::{NoAnswer, Note};
use crate::commit::Committed;
use crate::engine::deduplicate;
use crate::message::decode::decode_reply;
use crate::message::envelope::Origin;
use crate::message::expiry::Handling;
use crate::message::options::Options;
use crate::message::outcome::Outcome;
use crate::message::refusal::{QueryError, Refusal, SendError};
use crate::message::request::RequestId;
use crate::message::{Message, MessageId};
use crate::shard::current::Current;
use crate::shard::senders::Waits;
use crate::shard::{Remote, Route, Routed, Shard, Unmet};
use crate::telemetry;

/// A reference to one actor, for code outside of turns. Cheap to clone; never stale, since it holds a name only.
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
/// let alice = node.actor::<Account>("alice");
/// alice.send(Deposit { cents: 500 }).await?; // durable from here on
/// assert_eq!(alice.ask(Deposit { cents: 1 }).await?, 501); // handled, which is durable too
/// # node.stop().await?;
/// # Ok(()) }
/// ```
pub struct ActorHandle<A> {
    pub(crate) current: Current,
    pub(crate) address: AddressOf<A>,
}

impl<A: Actor> ActorHandle<A> {
    pub(crate) fn new(current: Current, address: AddressOf<A>) -> Self {
        Self { current, address }
    }

    /// The address of the actor.
    #[must_use]
    pub fn address(&self) -> &AddressOf<A> {
        &self.address
    }

    /// Sends `message`. When this has been awaited, the message is durable and will be handled, whatever crashes. Waits
    /// for room in the mailbox and in the store's queue, and for the disk. What is returned can say more about the
    /// delivery first: [`priority`](SendBuilder::priority), [`expires_in`](SendBuilder::expires_in),
    /// [`idempotency_key`](SendBuilder::idempotency_key).
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back; [`SendError::OutcomeUnknown`] when the node ended meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A send that is dropped has either happened as a whole or not at all.
    pub fn send<M: Message, Form>(&self, message: M) -> SendBuilder<'_, A, M>
    where
        A: Receives<M, Form>,
    {
        SendBuilder::new(self, message)
    }

    /// Sends `message` at most once: it is stored nowhere on its way, and is lost if the link to its node breaks, or
    /// when this node ends before it is written. Once it is in its mailbox it is handled like any other. For news that
    /// the next news replaces; costs the sender no disk when the actor lives on another node. Never waits.
    ///
    /// It keeps to the bounds of its mailbox and of its node (`mailbox_messages_max` and those beside it). On another
    /// node one that has no room is dropped when it comes there, which that node counts
    /// ([`NodeStatistics::volatile_dropped`](crate::NodeStatistics)); from then on more are refused here, until there
    /// is room again.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] when it is certain that it is lost, and hands it back: [`Refusal::MailboxFull`] or
    /// [`Refusal::NodeFull`] for want of room, [`Refusal::NoLink`] when there is no link, or one that is too slow.
    pub fn send_volatile<M: Message, Form>(&self, message: M) -> Result<(), SendError<M>>
    where
        A: Receives<M, Form>,
    {
        match self.try_submit_volatile(&message) {
            Ok(()) => Ok(()),
            Err(reason) => Err(SendError::not_accepted(message, reason)),
        }
    }

    /// Sends `message` and waits for the reply of its handler. The message is as durable as one that was sent; the
    /// reply leaves when its turn is durable. Awaited with [`Ask::timeout`] or the node's `ask_timeout`.
    ///
    /// # Errors
    ///
    /// [`AskError`](crate::AskError) says whether the message was accepted, and what became of it as far as is known.
    pub fn ask<M: Message, Form>(&self, message: M) -> Ask<'_, A, M>
    where
        A: Receives<M, Form>,
    {
        Ask::new(self, message, self.current.look(|shard| shard.config.ask_timeout))
    }

    /// Puts a volatile query to the actor's state: never stored, answered at most once, between two turns. The
    /// answer leaves when the state that it saw is durable. Awaited with [`Query::timeout`] or the node's
    /// `ask_timeout`.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; a query leaves no trace, so it may be asked again.
    pub fn query<Q: Message>(&self, query: Q) -> Query<'_, A, Q>
    where
        A: QueryHandler<Q>,
    {
        Query::new(self, query, self.current.look(|shard| shard.config.ask_timeout))
    }

    /// Hands a query to the activation, and waits for the answer.
    pub(crate) async fn answer_to<Q: Message>(&self, shard: &Shard, query: Q) -> Result<Q::Reply, QueryError>
    where
        A: QueryHandler<Q>,
    {
        sending::check_intake(shard)?;
        let open = Arc::clone(&shard.queries);
        let permit = open.acquire_owned().await.map_err(|_| QueryError::Lost)?;
        let address = self.address.address();
        address.check_length()?;
        if let Some(Remote { peer, .. }) = shard.remote(address) {
            return self.answer_from(shard, &peer, query).await;
        }
        let actor_type = shard.actor_types.get(A::TYPE).filter(|actor_type| actor_type.answers(Q::NAME));
        let actor_type = actor_type.ok_or(Refusal::NotHandled { actor_type: A::TYPE, message: Q::NAME })?;
        let (waiter, answer) = oneshot::channel();
        shard.put_query(address, actor_type, Box::new(PendingQuery::<A>::new(query, waiter, permit)));
        let Answered { answer, after } = answer.await.map_err(|_| QueryError::Lost)?;
        // Nothing of the state that it saw may be known before that is durable.
        shard.gate.durable(after).await.map_err(|_| QueryError::Lost)?;
        answer
    }

    async fn answer_from<Q: Message>(&self, shard: &Shard, peer: &Peer, query: Q) -> Result<Q::Reply, QueryError> {
        let payload = postcard::to_allocvec(&query).map_err(Refusal::Encode)?;
        let (bytes, bytes_max) = (payload.len(), shard.config.message_bytes_max);
        if bytes > bytes_max {
            return Err(Refusal::MessageTooLarge { bytes, bytes_max }.into());
        }
        let bytes_max = peer.message_bytes_max();
        if bytes > bytes_max {
            return Err(Refusal::TooLargeForNode { node: peer.name.to_string(), bytes, bytes_max }.into());
        }
        // What waits here is written already: of the query itself nothing need be kept.
        drop(query);
        let _room = peer.room_to_ask(bytes).await.ok_or(QueryError::Lost)?;
        let asked = peer.ask(|number| Note::Query {
            number,
            destination: self.address.to_string(),
            query: Q::NAME.to_owned(),
            version: Q::VERSION,
            payload,
        });
        let answer = asked.ok_or_else(|| Refusal::NoLink { node: peer.name.to_string() })?;
        match answer.await {
            Ok(Ok(answer)) => decode_reply(&answer).map_err(QueryError::Answer),
            Ok(Err(NoAnswer::NotHandled)) => Err(Refusal::NotHandled { actor_type: A::TYPE, message: Q::NAME }.into()),
            Ok(Err(NoAnswer::Failed(error))) => Err(QueryError::Failed(error)),
            Ok(Err(NoAnswer::Lost)) | Err(_) => Err(QueryError::Lost),
        }
    }

    /// Waits for room, then commits in one step.
    pub(crate) async fn submit<M: Message>(
        &self,
        shard: Arc<Shard>,
        message: &M,
        options: &Options,
        told: Option<oneshot::Sender<Outcome>>,
    ) -> Result<Receipt, Refusal> {
        let (id, Routed { route, handling, envelope }) = self.prepare(&shard, message, options)?;
        if options.request.is_some() {
            // In a box, since most messages have none.
            Box::pin(check_key(&shard, &route, &envelope)).await?;
        }
        let committed = {
            let bytes = envelope.len();
            let mut transaction = sending(&shard, &route, handling, envelope, told);
            let (mut deadline, mut waits) = (None, Waits::default());
            loop {
                let permit = transaction.reserve().await?;
                let why = match transaction.commit_within(permit, &mut waits) {
                    Ok(committed) => break committed,
                    Err(why) => why,
                };
                let deadline = *deadline.get_or_insert_with(|| Deadline::after(shard.config.send_timeout));
                let room = has_room(&shard, &why, bytes, &mut waits);
                if shard.within(deadline, room).await == Err(Unmet::Late) {
                    return Err(no_room(&shard, &why));
                }
                sending::check_intake(&shard)?;
            }
        };
        Ok(self.receipt::<M>(shard, id, &route, committed))
    }

    pub(crate) fn try_submit<M: Message>(&self, message: &M, options: &Options) -> Result<Receipt, Refusal> {
        let shard = self.current.get();
        let (id, Routed { route, handling, envelope }) = self.prepare(&shard, message, options)?;
        let committed = try_send(&shard, &route, handling, envelope)?;
        Ok(self.receipt::<M>(shard, id, &route, committed))
    }

    /// Sends a message that is stored nowhere on this node when it goes to another one.
    fn try_submit_volatile<M: Message>(&self, message: &M) -> Result<(), Refusal> {
        let shard = self.current.get();
        let (_, Routed { route, handling, envelope }) = self.prepare(&shard, message, &Options::default())?;
        let Route::Remote(Remote { peer, lane, address }) = &route else {
            return try_send(&shard, &route, handling, envelope).map(drop);
        };
        let mut outgoing = peer.outgoing();
        if outgoing.is_told_full(address.mailbox()) {
            return Err(Refusal::MailboxFull);
        }
        let taken = outgoing.push_volatile(lane.partition, envelope);
        drop(outgoing);
        peer.departures.notify_one();
        if taken { Ok(()) } else { Err(Refusal::NoLink { node: peer.name.to_string() }) }
    }

    fn prepare<M: Message>(
        &self,
        shard: &Shard,
        message: &M,
        options: &Options,
    ) -> Result<(MessageId, Routed), Refusal> {
        sending::check_intake(shard)?;
        let id = MessageId::random();
        let now = shard.clock.now();
        let origin = options.apply(Origin::plain(id, now.wall), now);
        let handling = Handling::said_by(&origin);
        let address = self.address.address();
        let (route, envelope) = shard.seal(A::TYPE, address, origin, message)?;
        if let (Route::Local(_), Some(request)) = (&route, options.request)
            && !deduplicate::admits(shard, address, request)
        {
            return Err(Refusal::TooManyKeys);
        }
        Ok((id, Routed { route, handling, envelope }))
    }

    /// Names what is sent to this actor under an idempotency key.
    pub(crate) fn request(&self, key: &str) -> RequestId {
        RequestId::new(self.address.address(), key)
    }

    fn receipt<M: Message>(&self, shard: Arc<Shard>, id: MessageId, route: &Route, committed: Committed) -> Receipt {
        telemetry::log_submitted(&shard.name, self.address.address(), M::NAME, id, committed.position);
        Receipt::new(shard, route, id, committed)
    }
}

/// Refuses at once what contradicts an earlier message under its key, where that can be seen from here. The turn looks
/// again.
async fn check_key(shard: &Arc<Shard>, route: &Route, envelope: &Bytes) -> Result<(), Refusal> {
    let contradicts = match route {
        // What cannot be read now is found out by the turn.
        Route::Local(mailbox) => {
            deduplicate::contradicts(shard, &mailbox.actor_type, &mailbox.address, envelope.clone())
                .await
                .unwrap_or_default()
        }
        Route::Remote(remote) => deduplicate::contradicts_away(shard, remote, envelope).await,
    };
    if contradicts { Err(Refusal::KeyReused) } else { Ok(()) }
}

impl<A> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), address: self.address.clone() }
    }
}

impl<A> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActorHandle").field(&self.address).finish()
    }
}
