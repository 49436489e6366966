//! Receipts: how far a message has come.

use std::fmt;
use std::sync::Arc;

use everpost_persistence::Position;
use everpost_transport::link::Lane;
use tokio::sync::oneshot;

use crate::base::ended::NodeEnded;
use crate::base::inside::is_in_turn;
use crate::cluster::{Delivery, Inquiry, Peer};
use crate::commit::Committed;
use crate::engine::inquiry::{LeftOutbox, inquire, left_outbox};
use crate::mailbox::Mailbox;
use crate::mailbox::waiter::Waiter;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::outcome::Outcome;
use crate::record::dead_letter::outcome_of;
use crate::shard::dead_letters::DeadLetterStatus;
use crate::shard::{Route, Shard};
use crate::tables;

/// Proof that a message was submitted: it tells how far the message has come. Whoever does not ask pays nothing.
///
/// | level | meaning |
/// | --- | --- |
/// | [`accepted`](Receipt::accepted) | durable on this node: it will be handled, whatever crashes |
/// | [`delivered`](Receipt::delivered) | durable on the node where its actor lives |
/// | [`processed`](Receipt::processed) | its turn has committed |
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
/// let receipt = node.actor::<Account>("alice").send(Deposit { cents: 500 }).submit().await?;
/// receipt.accepted().await?;
/// receipt.delivered().await?;
/// receipt.processed().await?;
/// # node.stop().await?;
/// # Ok(()) }
/// ```
#[must_use = "the message is durable only when the receipt says so"]
pub struct Receipt {
    shard: Arc<Shard>,
    address: Address,
    id: MessageId,
    position: Position,
    ticket: Position,
    /// The outbox that it lies in; none for a mailbox of this node.
    outbox: Option<(Arc<Peer>, Lane)>,
}

/// Why it is not known that a message was processed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ProcessedError {
    /// The message was given up on and is a dead letter, at the node where its actor lives.
    #[error("the message was given up on and is a dead letter now: {0}")]
    GivenUp(String),
    /// The node where the actor lives does not take a message as large as this one. It is kept, and is handled when
    /// that node takes it.
    #[error("the message is kept, but cannot be delivered now: {0}")]
    Undeliverable(String),
    /// Another message was sent under its idempotency key before; this one had no effect, and is a dead letter.
    #[error(
        "another message was sent under this idempotency key before; this one had no effect, and is a dead letter now"
    )]
    KeyReused,
    /// The message expired before its turn came, and was dropped: it was not handled, and never will be.
    #[error("the message expired before its turn came and was dropped; it had no effect")]
    Expired,
    /// This node ended before. The message is accepted or not, and if it is it will be handled.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
}

/// Why it is not known that a message has reached the node where its actor lives.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DeliveredError {
    /// The message expired before it was sent there, and has left this node: dropped, or a dead letter of this node. It
    /// had no effect, and never will have.
    #[error("the message expired before it was sent to the node where its actor lives; it had no effect")]
    Expired,
    /// This node ended before. What is accepted will be delivered when it is back.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
}

impl Receipt {
    pub(crate) fn new(shard: Arc<Shard>, route: &Route, id: MessageId, committed: Committed) -> Self {
        let Committed { position, ticket, .. } = committed;
        let outbox = route.remote().map(|remote| (Arc::clone(&remote.peer), remote.lane));
        Self { shard, address: route.address().clone(), id, position, ticket, outbox }
    }

    /// The identity of the message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Whether the message is durable on this node by now.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.ticket <= self.shard.store.durable()
    }

    /// Waits until the message is durable on this node.
    ///
    /// # Errors
    ///
    /// The node ended before it said so: after a restart of the node the message is either handled, once, or never was
    /// sent.
    ///
    /// # Cancel safety
    ///
    /// The message is in its queue already; only the knowledge is lost.
    pub async fn accepted(&self) -> Result<(), NodeEnded> {
        self.shard.gate.durable(self.ticket).await
    }

    /// Waits until the message is durable on the node where its actor lives. There is no limit: while that node cannot
    /// be reached, this waits, unless the message expires.
    ///
    /// # Errors
    ///
    /// [`DeliveredError::Expired`] when the message has expired before it was sent, which is known for as long as
    /// [`ProcessedError::Expired`] is; [`DeliveredError::Ended`] when this node ended before: what is accepted will be
    /// delivered when it is back.
    ///
    /// # Cancel safety
    ///
    /// As [`Receipt::accepted`].
    pub async fn delivered(&self) -> Result<(), DeliveredError> {
        let Some((peer, lane)) = &self.outbox else { return Ok(self.accepted().await?) };
        let waits = {
            // In one step: what expires meanwhile finds who waits, or was found out to have expired.
            let mut outgoing = peer.outgoing();
            match outgoing.wait_for_delivery(*lane, self.position) {
                None => match left_outbox(&self.shard, self.id, self.position) {
                    LeftOutbox::Arrived => return Ok(()),
                    LeftOutbox::Over(_, left) => Err(left),
                    LeftOutbox::Replayed(again) => Ok(outgoing.wait_for_delivery(*lane, again)),
                },
                waits => Ok(waits),
            }
        };
        let left = match waits {
            Ok(None) => return Ok(()),
            Ok(Some(delivered)) => match delivered.await.map_err(|_| self.shard.gate.ended())? {
                Delivery::Arrived => return Ok(()),
                Delivery::Expired(left) => left,
            },
            Err(left) => left,
        };
        // After a crash before that it would be owed again.
        self.shard.gate.durable(left).await?;
        Err(DeliveredError::Expired)
    }

    /// Waits until the turn that handles the message has committed. There is no limit: a message that keeps failing is
    /// waited for until it is given up on.
    ///
    /// # Errors
    ///
    /// [`ProcessedError::GivenUp`] when it has become a dead letter, also when that has gone since, as far as it is
    /// among the newest 65,536 that have left since the actor's node was started; [`ProcessedError::Expired`] when it
    /// has expired and was dropped, which is known of the newest 65,536 such messages of the actor's node since it was
    /// started (of this one, where it expired before it was sent there), and of all that are waited for meanwhile;
    /// [`ProcessedError::Ended`] when this node ended before, or inside a handler, which it would wait for
    /// ([`NodeEnded::InsideTurn`]).
    ///
    /// # Cancel safety
    ///
    /// As [`Receipt::accepted`].
    pub async fn processed(self) -> Result<(), ProcessedError> {
        if is_in_turn() {
            return Err(NodeEnded::InsideTurn.into());
        }
        let outcome = match &self.outbox {
            None => self.outcome_here().await?,
            Some((peer, lane)) => {
                let (told, outcome) = oneshot::channel();
                let Self { id, position, .. } = self;
                let inquiry = Inquiry { id, address: self.address.clone(), lane: *lane, position, reply: false };
                inquire(&self.shard, peer, inquiry, told).await;
                outcome.await.map_err(|_| self.shard.gate.ended())?
            }
        };
        processed(outcome)
    }

    /// What becomes of the message, or became of it: it waits, has a dead letter, was given up on or replayed from
    /// there, or was handled; what came of it is durable.
    async fn outcome_here(&self) -> Result<Outcome, NodeEnded> {
        let shard = &self.shard;
        let mut position = self.position;
        loop {
            if let Some(outcome) = self.watch(position) {
                return outcome.await.map_err(|_| shard.gate.ended());
            }
            match shard.dead_letters.status(self.id) {
                // It waits again, or has waited there.
                DeadLetterStatus::Replayed(again) if again != position => position = again,
                DeadLetterStatus::Gone(_, reason) => {
                    shard.gate.durable(shard.dead_letters.newest()).await?;
                    return Ok(DeadLetterStatus::outcome(reason));
                }
                DeadLetterStatus::Here(dead_letter) => {
                    shard.gate.durable(shard.dead_letters.newest()).await?;
                    let record =
                        shard.store.read(tables::dead_letter(dead_letter)).await.map_err(|_| shard.gate.ended())?;
                    if let Some(record) = record {
                        return Ok(outcome_of(dead_letter, &record));
                    }
                    // It was decided on meanwhile.
                }
                DeadLetterStatus::Replayed(_) | DeadLetterStatus::Unknown => {
                    let last = self.mailbox().map_or(Position(0), |mailbox| mailbox.lock().last_submitted());
                    shard.gate.durable(last.max(self.ticket)).await?;
                    let Some(dropped) = shard.expiries.dropped(self.id) else { return Ok(Outcome::Handled) };
                    shard.gate.durable(dropped).await?;
                    return Ok(Outcome::Expired);
                }
            }
        }
    }

    /// Registers who waits for the message at this position. None when it is not in its mailbox.
    fn watch(&self, position: Position) -> Option<oneshot::Receiver<Outcome>> {
        let mailbox = self.mailbox()?;
        let mut inner = mailbox.lock();
        if !inner.rules().contains(position) {
            return None;
        }
        let (told, outcome) = oneshot::channel();
        inner.add_waiter(self.shard.gate.is_over(), position, Waiter::Here { told, reply: false });
        Some(outcome)
    }

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        let actor_type = self.shard.actor_types.get(self.address.actor_type())?;
        Some(self.shard.directory.mailbox(&self.address, actor_type))
    }
}

fn processed(outcome: Outcome) -> Result<(), ProcessedError> {
    match outcome {
        Outcome::Replied(_) | Outcome::Handled => Ok(()),
        Outcome::GivenUp(reason) => Err(ProcessedError::GivenUp(reason)),
        Outcome::KeyReused => Err(ProcessedError::KeyReused),
        Outcome::Undeliverable(reason) => Err(ProcessedError::Undeliverable(reason)),
        Outcome::Expired => Err(ProcessedError::Expired),
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("id", &self.id).field("accepted", &self.is_accepted()).finish()
    }
}

crate::base::error_text::debug_as_text!(ProcessedError, DeliveredError);
