//! A message from outside on its way to the store: into a mailbox of this node, or into the outbox. Either may be full.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Permit};
use everpost_transport::link::Lane;
use tokio::sync::oneshot;

use crate::address::Address;
use crate::cluster::{OutboxFull, Peer};
use crate::core::{Accepted, Bound, Core, Incoming, Outward, Target};
use crate::envelope::request_of;
use crate::expiry::Handling;
use crate::gate::NodeEnded;
use crate::inside::is_in_turn;
use crate::link::flags;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::refusal::Refusal;
use crate::waiter::{Outcome, Waiter};

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
    what: Full,
}

/// What is full.
enum Full {
    /// The node, over all of its mailboxes.
    Node,
    Mailbox(Arc<Mailbox>),
    Outbox(OutboxFull),
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
                Self::Away(Outward { peer, lane, address, envelope, flags, told, question: None })
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
    pub(crate) fn submit<'a>(&self, permit: Permit<'_>, letter: Letter<'a>) -> Result<Posted, Box<NoRoom<'a>>> {
        match letter {
            Letter::Here(incoming) => match self.enqueue(permit, Bound::Outside, incoming) {
                Ok(accepted) => Ok(Posted { accepted, place: Place::Mailbox }),
                Err(full) => {
                    let what = full.mailbox.map_or(Full::Node, Full::Mailbox);
                    Err(Box::new(NoRoom { letter: Letter::Here(full.incoming), what }))
                }
            },
            Letter::Away(outward) => {
                let place = Place::Outbox(Arc::clone(&outward.peer), outward.lane);
                match self.depart(permit, Bound::Outside, outward) {
                    Ok(accepted) => Ok(Posted { accepted, place }),
                    Err(full) => {
                        let (full, outward) = *full;
                        Err(Box::new(NoRoom { letter: Letter::Away(outward), what: Full::Outbox(full) }))
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
                NodeEnded::Stopped | NodeEnded::InsideTurn => Refusal::Stopping,
            });
        }
        Ok(())
    }
}

impl NoRoom<'_> {
    /// Completes when there may be room.
    pub(crate) async fn room(&self, core: &Core) {
        match (&self.what, &self.letter) {
            (Full::Node, _) => {
                let _counted = core.room.count_sender();
                let mut room = pin!(core.room.made.notified());
                room.as_mut().enable();
                if core.is_full() {
                    room.await;
                }
            }
            (Full::Mailbox(mailbox), _) => {
                let _counted = mailbox.count_sender();
                let mut room = pin!(mailbox.room.notified());
                room.as_mut().enable();
                let is_full = core.is_mailbox_full(&mailbox.lock());
                if is_full {
                    room.await;
                }
            }
            (Full::Outbox(_), Letter::Away(outward)) => {
                let _counted = outward.peer.count_sender();
                let mut room = pin!(outward.peer.room.notified());
                room.as_mut().enable();
                let is_full = outward.peer.outgoing().is_full_for(outward.address.mailbox()).is_some();
                if is_full {
                    room.await;
                }
            }
            (Full::Outbox(_), Letter::Here(_)) => unreachable!("a letter to this node does not go to the outbox"),
        }
    }

    /// What the sender is told when it does not wait.
    pub(crate) fn refusal(&self, core: &Core) -> Refusal {
        match (&self.what, &self.letter) {
            (Full::Node, _) => Refusal::NodeFull { messages: core.waiting(), bytes: core.load.bytes() },
            (Full::Outbox(OutboxFull::Outbox), Letter::Away(outward)) => {
                let owed = outward.peer.outgoing().owed();
                let node = outward.peer.name.to_string();
                Refusal::OutboxFull { node, messages: owed.messages, bytes: owed.bytes }
            }
            _ => Refusal::MailboxFull,
        }
    }
}
