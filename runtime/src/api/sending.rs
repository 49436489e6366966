//! A message from outside on its way to the store: into a mailbox of this node, or into the outbox. Either may be full.

use bytes::Bytes;
use everpost_persistence::AdmissionError;
use tokio::sync::oneshot;

use crate::base::ended::NodeEnded;
use crate::base::inside::is_in_turn;
use crate::commit::{Committed, Refused, Send, Transaction};
use crate::message::expiry::Handling;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::shard::senders::{Full, WaitingSender, Waits};
use crate::shard::{Route, Shard};

/// The transaction that sends a message from outside.
pub(super) fn sending<'a>(
    shard: &'a Shard,
    route: &'a Route,
    handling: Handling,
    envelope: Bytes,
    told: Option<oneshot::Sender<Outcome>>,
) -> Transaction<'a> {
    let send = Send::new(route, handling, envelope);
    Transaction::outside(shard).with(match told {
        Some(told) => send.told(told),
        None => send,
    })
}

/// Sends a message if there is room now.
pub(super) fn try_send(
    shard: &Shard,
    route: &Route,
    handling: Handling,
    envelope: Bytes,
) -> Result<Committed, Refusal> {
    let mut transaction = sending(shard, route, handling, envelope, None);
    let permit = transaction.try_reserve()?;
    let sent = transaction.commit_within(permit, &mut Waits::default());
    sent.map_err(|why| no_room(shard, &why))
}

/// Completes when there is room for a sender that was refused, with a message of this size, or the node is stopping.
pub(super) async fn has_room<'c>(shard: &'c Shard, why: &Refused, bytes: usize, waits: &mut Waits<'c>) {
    let join = |full: &Full| WaitingSender::join(shard, full.clone(), bytes);
    match why {
        Refused::Full(full @ Full::Mailbox(_)) => waits.mailbox.get_or_insert_with(|| join(full)).has_room().await,
        Refused::Full(full) => waits.beyond.get_or_insert_with(|| join(full)).has_room().await,
        Refused::FullThere(opening) => {
            // Room in the outbox is for those who can use it.
            waits.beyond = None;
            if !shard.is_stopping() {
                // It has no permits: it only ends.
                let _ = opening.acquire().await;
            }
        }
        Refused::Gone | Refused::Taken | Refused::TimersFull(_) => unreachable!("a send is refused for want of room"),
    }
}

/// What the sender is told when it does not wait.
pub(super) fn no_room(shard: &Shard, why: &Refused) -> Refusal {
    match why {
        Refused::Full(Full::Node) => Refusal::NodeFull { messages: shard.waiting(), bytes: shard.load.bytes() },
        Refused::Full(Full::Outbox(peer)) => {
            let backlog = peer.outgoing().backlog();
            Refusal::OutboxFull { node: peer.name.to_string(), messages: backlog.messages, bytes: backlog.bytes }
        }
        Refused::Full(Full::Mailbox(_)) | Refused::FullThere(_) => Refusal::MailboxFull,
        Refused::Gone | Refused::Taken | Refused::TimersFull(_) => unreachable!("a send is refused for want of room"),
    }
}

/// Whether a send from outside may be taken.
pub(crate) fn check_intake(shard: &Shard) -> Result<(), Refusal> {
    if is_in_turn() {
        return Err(Refusal::InsideTurn);
    }
    if shard.is_stopping() { Err(ended(shard)) } else { Ok(()) }
}

/// What the sender is told when the node has ended, or is about to.
pub(super) fn ended(shard: &Shard) -> Refusal {
    match shard.gate.ended() {
        NodeEnded::Failed(failure) => Refusal::Store(AdmissionError::Failed(failure)),
        NodeEnded::RuntimeGone => Refusal::RuntimeGone,
        NodeEnded::Panicked { .. } => Refusal::Panicked,
        NodeEnded::Reopened => Refusal::Reopening,
        NodeEnded::Stopped | NodeEnded::InsideTurn => Refusal::Stopping,
    }
}
