//! What becomes of a message that was sent before: asked of whoever has it.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::Position;
use everpost_transport::link::FlagOutcome;
use ractor::ActorProcessingErr;
use tokio::sync::oneshot;

use crate::cluster::flags;
use crate::cluster::{Awaited, Inquiry, Peer};
use crate::mailbox::waiter::Waiter;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::expiry::EXPIRED;
use crate::message::outcome::Outcome;
use crate::shard::dead_letters::DeadLetterStatus;
use crate::shard::kept_replies::reply_key;
use crate::shard::{KeptReply, Release, Shard};

/// Why a message is not owed any more.
#[derive(Debug)]
pub(crate) enum LeftOutbox {
    /// Its peer has acknowledged it.
    Arrived,
    /// It has expired here, which is the end of it once this is durable.
    Over(Outcome, Position),
    /// It has expired here, and was replayed from its dead letter since: this is its number now.
    Replayed(Position),
}

/// Waits for what becomes of a message that another node was sent: lets the message ask for it if it has not left, and
/// asks the node otherwise. One that has expired in the outbox has never come there, unless it was replayed from its
/// dead letter.
pub(crate) async fn inquire(shard: &Shard, peer: &Arc<Peer>, inquiry: Inquiry, waiter: oneshot::Sender<Outcome>) {
    let Inquiry { id, address, lane, mut position, reply } = inquiry;
    let flags = if reply { flags::TELL | flags::REPLY } else { flags::TELL };
    let delivered = {
        // In one step: what expires meanwhile finds who waits, or was found out to have expired.
        let mut outgoing = peer.outgoing();
        let mut flagged = outgoing.flag(lane, position, flags);
        if flagged == FlagOutcome::Acknowledged {
            match left_outbox(shard, id, position) {
                LeftOutbox::Over(outcome, left) => {
                    let waiter = Waiter::Here { told: waiter, reply: false };
                    return shard.release_after(left, Release::Tell(waiter, outcome));
                }
                LeftOutbox::Replayed(again) => {
                    position = again;
                    flagged = outgoing.flag(lane, position, flags);
                }
                LeftOutbox::Arrived => {}
            }
        }
        peer.pending.wait(id, Awaited { waiter, address, lane, position, reply });
        match flagged {
            FlagOutcome::Set => return,
            FlagOutcome::InFlight => outgoing.wait_for_delivery(lane, position),
            FlagOutcome::Acknowledged => None,
        }
    };
    if let Some(delivered) = delivered {
        // A node that ends before leaves the waiter to its end.
        let _ = delivered.await;
    }
    peer.inquire(id);
}

/// What is known of an earlier ask of a turn to an actor of this node.
pub(crate) enum Recalled {
    /// It was handled, and this is its reply.
    Stored(Bytes),
    /// It waits or is in flight, and the waiter was put to it.
    Waiting,
    /// Nothing: it was never asked, or given up on.
    Unknown,
}

/// Looks for an ask of a turn that may have been asked before.
pub(crate) async fn recall(
    shard: &Shard,
    asked: &Address,
    id: MessageId,
    waiter: Waiter,
) -> Result<Recalled, ActorProcessingErr> {
    if join_waiting(shard, asked, id, waiter).await?.is_none() {
        return Ok(Recalled::Waiting);
    }
    let stored = shard.store.read(reply_key(shard, asked, id)).await?;
    Ok(stored.map_or(Recalled::Unknown, Recalled::Stored))
}

/// Puts the waiter to an ask of a turn that waits or is in flight. Hands it back when there is none: then the store has
/// the reply, or nobody has asked.
pub(crate) async fn join_waiting(
    shard: &Shard,
    asked: &Address,
    id: MessageId,
    waiter: Waiter,
) -> Result<Option<Waiter>, ActorProcessingErr> {
    loop {
        match shard.kept_replies.get(id) {
            Some(KeptReply::Waiting { mailbox, position }) if mailbox.id() == asked.mailbox() => {
                let mut inner = mailbox.lock();
                if inner.rules().contains(position) {
                    inner.add_waiter(shard.gate.is_over(), position, waiter);
                    shard.quarantine.admit(mailbox.id(), position);
                    inner.await_message(position);
                    inner.ring(&mailbox);
                    return Ok(None);
                }
                // It was finished between the two looks: look again.
            }
            Some(KeptReply::Submitted(ticket)) => shard.gate.durable(ticket).await?,
            Some(KeptReply::Waiting { .. } | KeptReply::Abandoned(_)) | None => return Ok(Some(waiter)),
        }
        tokio::task::yield_now().await;
    }
}

/// Why a message that had this position is not owed any more.
pub(crate) fn left_outbox(shard: &Shard, id: MessageId, position: Position) -> LeftOutbox {
    if let Some(ticket) = shard.expiries.dropped(id) {
        return LeftOutbox::Over(Outcome::Expired, ticket);
    }
    let dead_letters = shard.dead_letters.dead_letters();
    match dead_letters.status(id) {
        // A dead letter of another number is of an ask that lay here before its actor moved.
        DeadLetterStatus::Here(dead_letter) if dead_letter == position => {
            LeftOutbox::Over(Outcome::GivenUp(EXPIRED.to_owned()), dead_letters.newest())
        }
        DeadLetterStatus::Gone(dead_letter, reason) if dead_letter == position => {
            LeftOutbox::Over(DeadLetterStatus::outcome(reason), dead_letters.newest())
        }
        DeadLetterStatus::Replayed(again) => LeftOutbox::Replayed(again),
        DeadLetterStatus::Unknown | DeadLetterStatus::Here(_) | DeadLetterStatus::Gone(..) => LeftOutbox::Arrived,
    }
}
