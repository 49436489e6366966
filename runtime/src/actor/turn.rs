//! The turn: the handling of one message, and the only door through which its effects leave.

mod ask;
mod timers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::Position;

use crate::actor::address_of::AddressOf;
use crate::actor::hold::Hold;
use crate::actor::{Actor, Receives};
use crate::base::clock::Micros;
use crate::base::time_limit::Progress;
use crate::engine::holding::Held;
use crate::mailbox::Mailbox;
use crate::message::address::Address;
use crate::message::envelope::{Header, Origin};
use crate::message::expiry::{Expiry, Handling};
use crate::message::failure::Failure;
use crate::message::options::Options;
use crate::message::priority::Priority;
use crate::message::request::RequestId;
use crate::message::sequence::Sequence;
use crate::message::{Message, MessageId};
use crate::shard::asks::Older;
use crate::shard::{Routed, Shard};
use crate::timer::TimerChanges;

/// The handling of one message. What a handler sends through it leaves when the turn commits, or never.
///
/// A handle of the node that is used inside a handler would leave before the commit, and again on every retry, so there
/// it answers with an error.
///
/// ```
/// # use everpost::*;
/// use std::time::Duration;
///
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Order { item: String }
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] #[message(reply = bool)] struct Reserve(String);
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Remind;
/// # struct Clerk;
/// # struct Stock;
/// # impl Actor for Stock {
/// #     const TYPE: &'static str = "stock"; type State = u32;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Reserve>(); }
/// # }
/// # impl Handler<Reserve> for Stock {
/// #     async fn handle(&self, reserved: &mut Durable<u32>, _: Reserve, _: &mut Turn<'_>) -> Result<bool, Failure> {
/// #         **reserved += 1;
/// #         Ok(true)
/// #     }
/// # }
/// # impl Actor for Clerk {
/// #     const TYPE: &'static str = "clerk"; type State = Option<TimerId>;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Order>(); handlers.on::<Remind>(); }
/// # }
/// # impl Handler<Remind> for Clerk {
/// #     async fn handle(&self, _: &mut Durable<Option<TimerId>>, _: Remind, _: &mut Turn<'_>) -> Result<(), Failure> {
/// #         Ok(())
/// #     }
/// # }
/// impl Handler<Order> for Clerk {
///     async fn handle(
///         &self,
///         reminder: &mut Durable<Option<TimerId>>,
///         order: Order,
///         turn: &mut Turn<'_>,
///     ) -> Result<(), Failure> {
///         if turn.ask(&Stock::at(&order.item), Reserve(order.item.clone())).await? {
///             let tomorrow = Schedule::after(Duration::from_secs(24 * 60 * 60));
///             **reminder = Some(turn.schedule(&Clerk::at("bob"), Remind, tomorrow)); // set when this turn commits
///         } else {
///             turn.send(&Clerk::at("bob"), Remind); // sent when this turn commits
///         }
///         let _same_on_every_attempt = turn.idempotency_key("parcel service");
///         Ok(())
///     }
/// }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Clerk).actor(Stock).start().await?;
/// # node.actor::<Clerk>("alice").ask(Order { item: "cup".to_owned() }).await?;
/// # assert_eq!(node.timers().count(), 1);
/// # node.stop().await?;
/// # Ok(()) }
/// ```
pub struct Turn<'a> {
    shard: &'a Arc<Shard>,
    mailbox: &'a Arc<Mailbox>,
    /// It and what is staged stay where they are: a turn is moved from future to future.
    header: &'a Header<'a>,
    position: Position,
    attempt: u32,
    progress: &'a Progress,
    staged: &'a mut Staged,
}

/// What a turn has staged so far.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) sends: Vec<Routed>,
    /// The places of the queries that this attempt has asked.
    pub(crate) asked: Vec<u32>,
    /// What this turn has asked under an older build.
    pub(crate) older: Vec<Older>,
    pub(crate) timers: TimerChanges,
    pub(crate) forget: bool,
    /// The message was handed over to a holder, who decides.
    pub(crate) is_held: bool,
    /// The first effect that could not be staged: the turn fails with it.
    refused: Option<Failure>,
    numbers: Numbers,
}

/// Counts what a turn does, for the ids that derive from it.
#[derive(Debug, Default)]
struct Numbers {
    sends: u32,
    queries: u32,
    timers: u32,
}

impl Numbers {
    fn send(&mut self) -> u32 {
        self.sends += 1;
        self.sends - 1
    }

    fn timer(&mut self) -> u32 {
        self.timers += 1;
        self.timers - 1
    }

    /// Its number, and the one that it would have under an older build, which counted everything together.
    fn ask(&mut self) -> (u32, u32) {
        let together = self.sends + self.queries + self.timers;
        self.queries += 1;
        (self.queries - 1, together)
    }
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        shard: &'a Arc<Shard>,
        mailbox: &'a Arc<Mailbox>,
        header: &'a Header<'a>,
        position: Position,
        attempt: u32,
        progress: &'a Progress,
        staged: &'a mut Staged,
    ) -> Self {
        Self { shard, mailbox, header, position, attempt, progress, staged }
    }

    /// Sends `message` to `to` when this turn commits. Its id derives from this turn's message, so that a turn that
    /// runs again sends the same message again. What is returned can say more about the delivery; it stages the message
    /// when it is dropped, at the end of the statement.
    ///
    /// A message that cannot be sent (a type its actor did not register, an address that is too long) fails the turn.
    pub fn send<'t, A, M, Form>(&'t mut self, to: &'t AddressOf<A>, message: M) -> TurnSendBuilder<'t, 'a, A, M>
    where
        A: Receives<M, Form>,
        M: Message,
    {
        TurnSendBuilder { turn: self, to, message, options: Options::default() }
    }

    fn stage<A: Actor, M: Message>(&mut self, to: &AddressOf<A>, message: &M, options: &Options) {
        let id = self.message_id().sent(self.staged.numbers.send());
        let now = self.shard.clock.now();
        let origin = options.apply(self.origin(id, now.wall), now);
        let handling = Handling::said_by(&origin);
        match self.shard.seal(A::TYPE, to.address(), origin, message) {
            Ok((route, envelope)) => self.staged.sends.push(Routed { route, handling, envelope }),
            Err(refusal) => {
                self.staged.refuse(|| Failure::reject(format!("`{}` cannot be sent to {to}: {refusal}", M::NAME)));
            }
        }
    }

    /// Completes when everything that this turn builds on is durable: its message, and the turns before it. For
    /// handlers of [`Delivery::Pipelined`](crate::Delivery::Pipelined) actors that are about to call the outside world.
    ///
    /// # Errors
    ///
    /// The store failed: this turn will never commit.
    ///
    /// # Cancel safety
    ///
    /// It only watches.
    pub async fn committed(&self) -> Result<(), Failure> {
        let before = self.mailbox.lock().last_submitted().max(self.position);
        Ok(self.shard.gate.durable(before).await?)
    }

    /// Starts the handler's time limit ([`Actor::TIME_LIMIT`]) anew: for work that takes long and goes on. Noticed when
    /// the time is spent, so that a handler that hangs afterwards is cut off within twice the limit.
    pub fn progress(&self) {
        self.progress.tell();
    }

    /// A key for a call to the outside world: the same on every attempt of this message, another for another `label`.
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn idempotency_key(&self, label: &str) -> String {
        self.header.root().idempotency_key(label)
    }

    /// Drops this address's state and its record as soon as its mailbox is empty, as part of the turn that empties it.
    pub fn clear_state(&mut self) {
        self.staged.forget = true;
    }

    /// The address of the actor whose turn this is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.mailbox.address
    }

    /// The actor that sent the message; absent when it came from outside.
    #[must_use]
    pub fn sender(&self) -> Option<Address> {
        self.header.sender.and_then(Address::parse)
    }

    /// The identity of the message.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        self.header.id()
    }

    /// The message's number in the order of the store: it grows within a mailbox, with gaps.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        Sequence::of(self.position)
    }

    /// Which attempt this is, counted from 1. Attempts that a crash of the process cut off are not counted.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the message was sent, by the clock of the node that sent it; for one of a timer, when it was due.
    #[must_use]
    pub fn sent_at(&self) -> Micros {
        Micros(self.header.sent_at)
    }

    /// How long ago the message was sent.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.shard.clock.wall().since(self.sent_at())
    }

    /// The name of the message's type.
    pub(crate) fn message(&self) -> &'a str {
        self.header.message
    }

    /// Hands the message over: from here on it is held, and the holder decides what becomes of it.
    pub(crate) fn hold<A: Actor>(&mut self) -> Hold<A> {
        let Self { shard, mailbox, header, position, attempt, .. } = self;
        let (id, trace, root) = (header.id(), header.trace(), header.root());
        mailbox.lock().hand_over(*position, *attempt, shard.clock.steady().plus(A::HOLD_LIMIT));
        self.staged.is_held = true;
        let (shard, mailbox, limit) = (Arc::clone(shard), Arc::clone(mailbox), A::HOLD_LIMIT);
        Hold::new(Held { shard, mailbox, position: *position, attempt: *attempt, id, trace, root, limit })
    }

    /// Ends the turn: what it staged, unless something could not be, or it has left out what an earlier attempt has
    /// asked.
    pub(crate) fn end(self) -> Result<&'a Staged, Failure> {
        let staged = self.staged;
        if self.mailbox.asking.is_any() {
            let left_out = self.shard.asked.left_out(self.header.id(), &staged.asked);
            if let Some(first) = left_out.first() {
                let others = left_out.len() - 1;
                staged.refuse(|| {
                    Failure::retry(format!(
                        "{first} was asked before, by an earlier attempt of this turn, and not by this one (with \
                         {others} asks more): it may have had its effect, so that the turn cannot commit without \
                         it; let the handler ask the same on every attempt"
                    ))
                });
            }
        }
        match staged.refused.take() {
            Some(refused) => Err(refused),
            None => Ok(staged),
        }
    }

    fn origin(&self, id: MessageId, sent_at: Micros) -> Origin<'a> {
        Origin { sender: Some(self.header.destination), trace: Some(self.header.trace()), ..Origin::plain(id, sent_at) }
    }
}

impl Staged {
    /// The turn cannot commit, whatever its handler makes of it. The first reason counts.
    fn refuse(&mut self, failure: impl FnOnce() -> Failure) {
        self.refused.get_or_insert_with(failure);
    }
}

/// A message that a turn is about to send; staged when it is dropped. Made by [`Turn::send`].
///
/// ```
/// # use everpost::*;
/// # use std::time::Duration;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Remind;
/// # struct Clerk;
/// # impl Actor for Clerk {
/// #     const TYPE: &'static str = "clerk"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Remind>(); }
/// # }
/// # impl Handler<Remind> for Clerk {
/// async fn handle(&self, _: &mut Durable<i64>, _: Remind, turn: &mut Turn<'_>) -> Result<(), Failure> {
///     turn.send(&Clerk::at("bob"), Remind);
///     turn.send(&Clerk::at("carol"), Remind).priority(Priority::High).expires_in(Duration::from_secs(60));
///     Ok(())
/// }
/// # }
/// ```
pub struct TurnSendBuilder<'t, 'a, A: Actor, M: Message> {
    turn: &'t mut Turn<'a>,
    to: &'t AddressOf<A>,
    message: M,
    options: Options,
}

impl<A: Actor, M: Message> TurnSendBuilder<'_, '_, A, M> {
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

    /// As [`SendBuilder::idempotency_key`](crate::SendBuilder::idempotency_key). Not needed to protect from another
    /// attempt of this turn: that sends the same message anyway.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.options.request = Some(RequestId::new(self.to.address(), key));
        self
    }
}

impl<A: Actor, M: Message> Drop for TurnSendBuilder<'_, '_, A, M> {
    fn drop(&mut self) {
        self.turn.stage::<A, M>(self.to, &self.message, &self.options);
    }
}

impl<A: Actor, M: Message> fmt::Debug for TurnSendBuilder<'_, '_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnSendBuilder").field("to", self.to).field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("address", self.address())
            .field("message", &self.message_id())
            .field("sequence", &self.position.0)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
