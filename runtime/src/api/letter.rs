//! A message from outside on its way to the store: into a mailbox of this node, or into the outbox. Either may be full.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Permit};
use everpost_transport::link::Lane;
use tokio::sync::{Semaphore, oneshot};

use crate::base::inside::is_in_turn;
use crate::cluster::{OutboxFull, Peer};
use crate::core::{Accepted, Bound, Core, Incoming, Outward, Target};
use crate::expiry::Handling;
use crate::gate::NodeEnded;
use crate::link::flags;
use crate::mailbox::room::{Full, WaitingSender, Waits};
use crate::mailbox::waiter::{Outcome, Waiter};
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::envelope::request_of;
use crate::message::refusal::Refusal;

/// A message in its envelope, and where it goes.
#[derive(Debug)]
pub(crate) enum Letter<'a> {
    Here(Incoming<'a>),
    Away(Outward<'a>),
}

/// A letter that was submitted.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) accepted: Accepted,
    pub(crate) place: Place,
}

/// Where a submitted letter is.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a mailbox of this node.
    Mailbox,
    /// In the outbox.
    Outbox(Arc<Peer>, Lane),
}

/// There is no room for a letter now; nothing happened.
pub(crate) struct NoRoom<'a> {
    pub(crate) letter: Letter<'a>,
    what: What,
}

/// What is waited for.
enum What {
    /// Room, in a line.
    Room(Full),
    /// A mailbox of another node is full, by its word; closed when that is over.
    Opening(Arc<Semaphore>),
}

impl<'a> Letter<'a> {
    pub(crate) fn new(
        target: Target<'a>,
        address: &'a Address,
        id: MessageId,
        handling: Handling,
        envelope: Bytes,
        told: Option<oneshot::Sender<Outcome>>,
    ) -> Self {
        match target {
            Target::Here(kind) => {
                let waiter = told.map(|told| Waiter::Here { told, reply: true });
                Self::Here(Incoming { kind, address, handling, envelope, waiter, question: None })
            }
            Target::Away(peer, lane) => {
                let flags = match told {
                    Some(_) => flags::TELL | flags::REPLY,
                    None if request_of(&envelope).is_some() => flags::CONTRADICTION,
                    None => 0,
                };
                let told = told.map(|told| (id, told));
                let expires = handling.expires;
                Self::Away(Outward { peer, lane, address, envelope, expires, flags, told, question: None })
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Here(incoming) => incoming.envelope.len(),
            Self::Away(outward) => outward.envelope.len(),
        }
    }
}

impl Core {
    /// Submits a letter from outside, in one step.
    pub(crate) fn submit<'a, 'c>(
        &'c self,
        permit: Permit<'_>,
        letter: Letter<'a>,
        waits: &mut Waits<'c>,
    ) -> Result<Posted, Box<NoRoom<'a>>> {
        match letter {
            Letter::Here(incoming) => match self.enqueue(permit, Bound::Outside(waits), incoming) {
                Ok(accepted) => Ok(Posted { accepted, place: Place::Mailbox }),
                Err(full) => {
                    let (full, incoming) = *full;
                    Err(Box::new(NoRoom { letter: Letter::Here(incoming), what: What::Room(full) }))
                }
            },
            Letter::Away(outward) => {
                let place = Place::Outbox(Arc::clone(&outward.peer), outward.lane);
                match self.depart(permit, Bound::Outside(waits), outward) {
                    Ok(accepted) => Ok(Posted { accepted, place }),
                    Err(full) => {
                        let (full, outward) = *full;
                        let what = match full {
                            OutboxFull::Outbox => What::Room(Full::Outbox(Arc::clone(&outward.peer))),
                            OutboxFull::Mailbox(opening) => What::Opening(opening),
                        };
                        Err(Box::new(NoRoom { letter: Letter::Away(outward), what }))
                    }
                }
            }
        }
    }
}

impl Core {
    /// Whether a send from outside may be taken.
    pub(crate) fn check_intake(&self) -> Result<(), Refusal> {
        if is_in_turn() {
            return Err(Refusal::InsideTurn);
        }
        if self.is_stopping() {
            return Err(match self.gate.ended() {
                NodeEnded::Failed(failure) => Refusal::Store(AdmissionError::Failed(failure)),
                NodeEnded::RuntimeGone => Refusal::RuntimeGone,
                NodeEnded::Panicked { .. } => Refusal::Panicked,
                NodeEnded::Stopped | NodeEnded::InsideTurn => Refusal::Stopping,
            });
        }
        Ok(())
    }
}

impl NoRoom<'_> {
    /// Completes when there is room for this sender, or the node is stopping.
    pub(crate) async fn room<'c>(&self, core: &'c Core, waits: &mut Waits<'c>) {
        let join = |full: &Full| WaitingSender::join(core, full.clone(), self.letter.bytes());
        match &self.what {
            What::Room(full @ Full::Mailbox(_)) => waits.mailbox.get_or_insert_with(|| join(full)).has_room().await,
            What::Room(full) => waits.beyond.get_or_insert_with(|| join(full)).has_room().await,
            What::Opening(opening) => {
                // Room in the outbox is for those who can use it.
                waits.beyond = None;
                if !core.is_stopping() {
                    // It has no permits: it only ends.
                    let _ = opening.acquire().await;
                }
            }
        }
    }

    /// What the sender is told when it does not wait.
    pub(crate) fn refusal(&self, core: &Core) -> Refusal {
        match &self.what {
            What::Room(Full::Node) => Refusal::NodeFull { messages: core.waiting(), bytes: core.load.bytes() },
            What::Room(Full::Outbox(peer)) => {
                let owed = peer.outgoing().owed();
                Refusal::OutboxFull { node: peer.name.to_string(), messages: owed.messages, bytes: owed.bytes }
            }
            What::Room(Full::Mailbox(_)) | What::Opening(_) => Refusal::MailboxFull,
        }
    }
}
