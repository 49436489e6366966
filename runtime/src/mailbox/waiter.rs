//! Who waits for what becomes of a message: a future on this node, or one on another.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use everpost_persistence::Position;
use tokio::sync::oneshot;

use crate::cluster::Peer;
use crate::cluster::note::Note;
use crate::message::MessageId;
use crate::message::outcome::Outcome;

/// Waits for the outcome of one message.
pub(crate) enum Waiter {
    /// On this node.
    Here {
        /// Told when everything is durable.
        told: oneshot::Sender<Outcome>,
        /// The reply is wanted, not only the fact.
        reply: bool,
    },
    /// On another node.
    Away { peer: Arc<Peer>, id: MessageId, reply: bool },
    /// On another node, and only for a contradiction to another message under its idempotency key.
    Contradicted { peer: Arc<Peer>, id: MessageId },
}

impl Waiter {
    /// Waits for the reply on this node.
    pub(crate) fn for_reply() -> (Self, oneshot::Receiver<Outcome>) {
        let (told, outcome) = oneshot::channel();
        (Self::Here { told, reply: true }, outcome)
    }

    /// Whether the reply is worth encoding.
    pub(crate) fn wants_reply(&self) -> bool {
        match self {
            Self::Here { reply, .. } | Self::Away { reply, .. } => *reply,
            Self::Contradicted { .. } => false,
        }
    }

    /// Tells the outcome. Whoever has stopped waiting is not told.
    pub(crate) fn tell(self, outcome: Outcome) {
        match self {
            Self::Here { told, .. } => drop(told.send(outcome)),
            Self::Away { peer, id, .. } => peer.tell(Note::Outcome { id: id.0, fate: outcome.into() }),
            Self::Contradicted { peer, id } => {
                if matches!(outcome, Outcome::KeyReused) {
                    peer.tell(Note::Outcome { id: id.0, fate: outcome.into() });
                }
            }
        }
    }
}

/// Who waits for the messages of one mailbox. Belongs under its lock.
///
/// The end of the node empties it, mailbox by mailbox, after the gate was closed; so whoever is added under the lock
/// either sees that the gate is closed, or is found there.
#[derive(Debug, Default)]
pub(crate) struct Waiters(HashMap<Position, Waiter>);

impl Waiters {
    /// Adds who waits for the message at `position`. When the node is over it is dropped instead, which tells it.
    pub(crate) fn add(&mut self, is_over: bool, position: Position, waiter: Waiter) {
        if !is_over {
            self.0.insert(position, waiter);
        }
    }

    pub(crate) fn get(&self, position: Position) -> Option<&Waiter> {
        self.0.get(&position)
    }

    pub(crate) fn take(&mut self, position: Position) -> Option<Waiter> {
        self.0.remove(&position)
    }

    /// Whoever waits is told that it will not be.
    pub(crate) fn dismiss(&mut self) {
        self.0.clear();
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here { .. } => f.write_str("Here"),
            Self::Away { peer, id, .. } => f.debug_tuple("Away").field(peer).field(id).finish(),
            Self::Contradicted { peer, id } => f.debug_tuple("Contradicted").field(peer).field(id).finish(),
        }
    }
}
