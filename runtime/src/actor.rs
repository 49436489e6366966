//! What a user implements: an actor, its handlers and its queries.

pub(crate) mod address_of;
pub(crate) mod constants;
pub(crate) mod durable;
pub(crate) mod hold;
pub(crate) mod query;
pub(crate) mod turn;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::actor::address_of::AddressOf;
use crate::actor::durable::Durable;
use crate::actor::hold::HoldHandler;
use crate::actor::query::PendingQuery;
use crate::actor::turn::Turn;
use crate::cluster::remote_query::RemoteQuery;
use crate::message::Message;
use crate::message::delivery::Delivery;
use crate::message::delivery::Order;
use crate::message::expiry::Expiry;
use crate::message::failure::Failure;
use crate::record::budget::Budget;
use crate::record::schema::{Schema, read_message};
use crate::record::state::State;

/// A type of durable actor. The value holds what is not durable (pools, clients, configuration) and is shared by all
/// activations of the type on a node; what is durable is the [`Actor::State`], one for each key.
///
/// See the crate's front page for a whole example.
///
/// ```
/// use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, Turn};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(reply = i64)]
/// struct Deposit { cents: i64 }
///
/// struct Account;
///
/// impl Actor for Account {
///     const TYPE: &'static str = "account";
///     type State = i64;
///
///     fn handlers(handlers: &mut Handlers<Self>) {
///         handlers.on::<Deposit>();
///     }
/// }
///
/// impl Handler<Deposit> for Account {
///     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>) -> Result<i64, Failure> {
///         **balance += deposit.cents;
///         Ok(**balance)
///     }
/// }
/// assert_eq!(Account::at("alice").to_string(), "account/alice");
/// ```
pub trait Actor: Sized + Send + Sync + 'static {
    /// The actor type in addresses: 1 to 64 characters of `a-z`, `0-9`, `_` and `-`. Never change it.
    const TYPE: &'static str;
    /// When a handler sees a message; see [`Delivery`].
    const DELIVERY: Delivery = Delivery::Committed;
    /// What a message that fails does to those behind it; see [`Order`].
    const ORDER: Order = Order::Strict;
    /// How often an actor may fail before it is paused: activations that fail without a message in flight (its state
    /// cannot be read, say) and messages that had to be given up on after failing count, rejected and expired ones do
    /// not. Stored, so that it survives the process. A paused actor keeps accepting, and goes on when it is resumed
    /// ([`ActorHandle::resume`](crate::ActorHandle::resume)). While it is the child of a group
    /// ([`Child::actor`](crate::Child::actor)), its activations count for that instead. At most 1,000 restarts.
    const BUDGET: Budget = Budget::new(8, Duration::from_secs(60));
    /// How many messages of one address may be held at a time by handlers with manual acknowledgement; while as many
    /// are held, other messages of that kind wait, and those that are handled by turns pass them. At least 1.
    const HOLDS_MAX: usize = 64;
    /// How long a message may be held without [`Hold::progress`](crate::Hold::progress) before it is taken back, which
    /// is a failed attempt. Longer than zero.
    const HOLD_LIMIT: Duration = Duration::from_secs(30);
    /// How long a handler may take; what takes longer is cut off at its next await, and has failed like any other.
    /// [`Turn::progress`] starts the time anew. A handler that blocks its thread cannot be cut off.
    /// Longer than zero.
    const TIME_LIMIT: Duration = Duration::from_secs(30);
    /// What becomes of a message to this actor that has expired before it was handled, when its sender does not say
    /// ([`SendBuilder::when_expired`](crate::SendBuilder::when_expired)).
    const WHEN_EXPIRED: Expiry = Expiry::Drop;
    /// The durable state of one key. A new key starts with the default. It is encoded at the end of each turn that
    /// changed it, so keep it small: large collections belong in many small actors. See [`State`].
    type State: State;

    /// Registers every message that this actor handles. What is not registered is refused at the send.
    fn handlers(handlers: &mut Handlers<Self>);

    /// The address of the actor `key` of this type.
    #[must_use]
    fn at(key: &str) -> AddressOf<Self> {
        AddressOf::new(key)
    }
}

/// Handles one type of message.
///
/// ```
/// # use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, Turn};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account";
/// #     type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) {
/// #         handlers.on::<Deposit>();
/// #     }
/// # }
/// impl Handler<Deposit> for Account {
///     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>) -> Result<i64, Failure> {
///         **balance += deposit.cents;
///         Ok(**balance)
///     }
/// }
/// ```
pub trait Handler<M: Message>: Actor {
    /// Handles `message`. May run more than once; its committed effects happen exactly once.
    ///
    /// # Errors
    ///
    /// A [`Failure`] leaves nothing of the turn behind and says whether to try again.
    ///
    /// # Panics
    ///
    /// A panic is a failure too: the activation is dropped, and its supervisor starts another.
    ///
    /// # Cancel safety
    ///
    /// The node drops the future at an await when it takes longer than [`Actor::TIME_LIMIT`], which is a failed
    /// attempt, and when a stop does not wait for it any longer. Nothing of the turn is left behind then, as after a
    /// failure. What was done outside of it is: what it has asked of other actors ([`Turn::ask`]), calls to the
    /// outside, tasks that it has spawned.
    fn handle(
        &self,
        state: &mut Durable<Self::State>,
        message: M,
        turn: &mut Turn<'_>,
    ) -> impl Future<Output = Result<M::Reply, Failure>> + Send;
}

/// An actor type that can be sent messages of the type `M`: by having a [`Handler`] of it, or a [`HoldHandler`]. `Form`
/// tells which, and is always inferred.
///
/// Nobody else implements it, or messages could be sent that nothing handles:
///
/// ```compile_fail,E0277
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account"; type State = i64;
/// #     fn handlers(_: &mut Handlers<Self>) {}
/// # }
/// impl Receives<Deposit, ByTurn> for Account {}
/// ```
#[doc(hidden)]
pub trait Receives<M: Message, Form>: Actor + sealed::Sealed<M, Form> {}

/// The form of messages that are handled by turns.
#[doc(hidden)]
#[derive(Debug)]
pub enum ByTurn {}

/// The form of messages that are held.
#[doc(hidden)]
#[derive(Debug)]
pub enum ByHold {}

impl<A: Handler<M>, M: Message> Receives<M, ByTurn> for A {}

impl<A: HoldHandler<M>, M: Message<Reply = ()>> Receives<M, ByHold> for A {}

mod sealed {
    use super::{ByHold, ByTurn, Handler, HoldHandler, Message};

    /// Has no name outside, so that nobody there can implement it.
    #[expect(unnameable_types, reason = "that is what it is for")]
    pub trait Sealed<M, Form> {}

    impl<A: Handler<M>, M: Message> Sealed<M, ByTurn> for A {}

    impl<A: HoldHandler<M>, M: Message<Reply = ()>> Sealed<M, ByHold> for A {}
}

/// Answers one type of query from the state alone; see [`ActorHandle::query`](crate::ActorHandle::query). Registered
/// by [`Handlers::on_query`].
///
/// ```
/// # use everpost::*;
/// use serde::{Deserialize, Serialize};
///
/// # #[derive(Serialize, Deserialize, Message)] struct Deposit { cents: i64 }
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(reply = i64)]
/// struct GetBalance;
///
/// struct Account;
///
/// impl Actor for Account {
///     const TYPE: &'static str = "account";
///     type State = i64;
///
///     fn handlers(handlers: &mut Handlers<Self>) {
///         handlers.on::<Deposit>();
///         handlers.on_query::<GetBalance>();
///     }
/// }
///
/// impl QueryHandler<GetBalance> for Account {
///     fn answer(&self, balance: &i64, _: GetBalance) -> i64 {
///         *balance
///     }
/// }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<(), Failure> {
/// #         **balance += deposit.cents;
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
/// let alice = node.actor::<Account>("alice");
/// assert_eq!(alice.query(GetBalance).await?, 0);
/// # node.stop().await?;
/// # Ok(()) }
/// ```
pub trait QueryHandler<Q: Message>: Actor {
    /// Answers `query`. The state is what the turns before it made. Nothing can cut it off: one that never returns
    /// holds its actor and a thread for ever.
    ///
    /// # Panics
    ///
    /// A panic reaches whoever asked as [`QueryError::Failed`](crate::QueryError::Failed), and nobody else: it counts
    /// against nothing, and the actor goes on with the state as it is in memory. So what a state or an actor hides
    /// behind a `Mutex` or an atomic must be right after a panic too.
    fn answer(&self, state: &Self::State, query: Q) -> Q::Reply;
}

/// The messages that an actor type handles; filled by [`Actor::handlers`].
///
/// ```
/// # use everpost::*;
/// # use serde::{Deserialize, Serialize};
/// #
/// # #[derive(Serialize, Deserialize, Message)] struct Deposit { cents: i64 }
/// # #[derive(Serialize, Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct GetBalance;
/// #
/// # struct Account;
/// #
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account";
/// #     type State = i64;
/// #
///     fn handlers(handlers: &mut Handlers<Self>) {
///         handlers.on::<Deposit>(); // it has a `Handler<Deposit>`
///         handlers.on_query::<GetBalance>(); // and a `QueryHandler<GetBalance>`
///     }
/// # }
/// #
/// # impl QueryHandler<GetBalance> for Account {
/// #     fn answer(&self, balance: &i64, _: GetBalance) -> i64 {
/// #         *balance
/// #     }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<(), Failure> {
/// #         **balance += deposit.cents;
/// #         Ok(())
/// #     }
/// # }
/// ```
pub struct Handlers<A: Actor> {
    by_name: FxHashMap<&'static str, Run<A>>,
    schemas: Vec<Schema>,
    held: Vec<&'static str>,
    answers: FxHashMap<&'static str, AnswerRemote<A>>,
}

impl<A: Actor> Handlers<A> {
    pub(crate) fn of_actor() -> Self {
        let (by_name, answers) = (FxHashMap::default(), FxHashMap::default());
        let mut handlers = Self { by_name, schemas: Vec::new(), held: Vec::new(), answers };
        A::handlers(&mut handlers);
        handlers
    }

    /// Registers the handler of `M`.
    ///
    /// # Panics
    ///
    /// When two message types of one actor have the same name: the stored bytes of one would reach the other.
    pub fn on<M: Message>(&mut self)
    where
        A: Handler<M>,
    {
        self.register::<M>(run::<A, M>);
    }

    /// Registers the handler of `M` that acknowledges by hand.
    ///
    /// # Panics
    ///
    /// As [`Handlers::on`].
    pub fn on_hold<M: Message<Reply = ()>>(&mut self)
    where
        A: HoldHandler<M>,
    {
        self.register::<M>(run_held::<A, M>);
        self.held.push(M::NAME);
    }

    fn register<M: Message>(&mut self, run: Run<A>) {
        let before = self.by_name.insert(M::NAME, run);
        assert!(before.is_none(), "actor `{}` registers two messages named `{}`", A::TYPE, M::NAME);
        self.schemas.push(Schema::of_message::<M>());
    }

    /// Registers that queries of the type `Q` are answered, on this node and for others.
    ///
    /// # Panics
    ///
    /// When two queries of one actor have the same name.
    pub fn on_query<Q: Message>(&mut self)
    where
        A: QueryHandler<Q>,
    {
        let before = self.answers.insert(Q::NAME, PendingQuery::<A>::of_remote::<Q>);
        assert!(before.is_none(), "actor `{}` answers two queries named `{}`", A::TYPE, Q::NAME);
    }

    pub(crate) fn answer(&self, name: &str) -> Option<AnswerRemote<A>> {
        self.answers.get(name).copied()
    }

    pub(crate) fn queries(&self) -> impl Iterator<Item = &'static str> {
        self.answers.keys().copied()
    }

    /// The names of the messages that are held.
    pub(crate) fn held(&self) -> impl Iterator<Item = &'static str> {
        self.held.iter().copied()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Run<A>> {
        self.by_name.get(name).copied()
    }

    /// The messages that are handled, with their readers.
    pub(crate) fn schemas(&self) -> &[Schema] {
        &self.schemas
    }
}

impl<A: Actor> fmt::Debug for Handlers<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// Makes a query of what another node has sent.
pub(crate) type AnswerRemote<A> = fn(RemoteQuery) -> PendingQuery<A>;

/// A message as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) version: u16,
    pub(crate) bytes: &'a [u8],
    /// Whether someone waits for the reply, so that it is worth encoding.
    pub(crate) wants_reply: bool,
}

pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<Option<Bytes>, Failure>> + Send + 'a>>;

/// A handler without its message type: decodes, handles, encodes the reply when one is wanted.
pub(crate) type Run<A> =
    for<'a, 't> fn(&'a A, &'a mut Durable<<A as Actor>::State>, Payload<'a>, &'a mut Turn<'t>) -> Running<'a>;

fn run<'a, 't, A, M>(
    actor: &'a A,
    state: &'a mut Durable<A::State>,
    payload: Payload<'a>,
    turn: &'a mut Turn<'t>,
) -> Running<'a>
where
    A: Handler<M>,
    M: Message,
{
    Box::pin(async move {
        let message = read_message::<M>(payload.version, payload.bytes).map_err(Failure::reject)?;
        let reply = actor.handle(state, message, turn).await?;
        if !payload.wants_reply {
            return Ok(None);
        }
        let bytes = postcard::to_allocvec(&reply)
            .map_err(|error| Failure::reject(format!("the reply cannot be encoded: {error}")))?;
        Ok(Some(bytes.into()))
    })
}

/// As [`run`], for a message that is handed over to a holder.
fn run_held<'a, 't, A, M>(
    actor: &'a A,
    _: &'a mut Durable<A::State>,
    payload: Payload<'a>,
    turn: &'a mut Turn<'t>,
) -> Running<'a>
where
    A: HoldHandler<M>,
    M: Message<Reply = ()>,
{
    Box::pin(async move {
        let message = read_message::<M>(payload.version, payload.bytes).map_err(Failure::reject)?;
        actor.handle(message, turn.hold()).await?;
        Ok(None)
    })
}
