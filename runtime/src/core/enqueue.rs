//! One step, without an await: the position, the place in the queue and what the receiver sees are decided together,
//! so that a cancelled send leaves no hole.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Permit, Position};

use super::Core;
use crate::actor::Delivery;
use crate::address::Address;
use crate::expiry::Handling;
use crate::mailbox::{Inner, Mailbox};
use crate::questions::Asking;
use crate::supervision::Kind;
use crate::waiter::Waiter;

/// Whether the bound of the mailbox holds for this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// From outside: a full mailbox holds it back.
    Outside,
    /// From a turn: never held back, or two actors that send to each other's full mailbox would wait for ever.
    Turn,
}

/// A message is in its mailbox, or in the outbox.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) position: Position,
    /// Durable up to here, and the message is.
    pub(crate) ticket: Position,
}

/// A message on its way into a mailbox of this node.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) kind: &'a Arc<Kind>,
    pub(crate) address: &'a Address,
    pub(crate) handling: Handling,
    pub(crate) envelope: Bytes,
    /// Who waits for what becomes of it.
    pub(crate) waiter: Option<Waiter>,
    /// That it is the question of a turn of this node.
    pub(crate) question: Option<Asking<'a>>,
}

/// The mailbox, or the node, is full; nothing happened.
#[derive(Debug)]
pub(crate) struct Full<'a> {
    /// None when it is the node.
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    pub(crate) incoming: Incoming<'a>,
}

impl Core {
    /// Puts a message into its mailbox.
    pub(crate) fn enqueue<'a>(
        &self,
        permit: Permit<'_>,
        bound: Bound,
        incoming: Incoming<'a>,
    ) -> Result<Accepted, Box<Full<'a>>> {
        loop {
            let mailbox = self.directory.mailbox(incoming.address, incoming.kind);
            let mut inner = mailbox.lock();
            if inner.retired {
                continue;
            }
            if bound == Bound::Outside && self.is_mailbox_full(&inner) {
                drop(inner);
                return Err(Box::new(Full { mailbox: Some(mailbox), incoming }));
            }
            // Counted before it is compared: to look first at what all threads write would fetch it twice.
            self.add_waiting(1);
            if bound == Bound::Outside && self.is_overfull() {
                self.load.waiting.take(1);
                // Whoever waits until nothing waits may have seen this one, and no commit comes of it.
                self.gate.look_again();
                return Err(Box::new(Full { mailbox: None, incoming }));
            }
            let Incoming { handling, envelope, waiter, mut question, .. } = incoming;
            let (ticket, position) = self.store.submit(permit, |stage| {
                let position = stage.enqueue(mailbox.partition, envelope.clone());
                if let Some(question) = &mut question {
                    question.stage(stage, position);
                }
                position
            });
            if let Some(waiter) = waiter {
                inner.asks.add(&self.gate, position, waiter);
            }
            if let Some(Asking { mailbox: asking, asked }) = question {
                self.kept_replies.waiting(asked.id(), &mailbox, position);
                self.quarantine.admit(mailbox.id(), position);
                self.asked.asked(asking, asked);
            }
            self.place(&mut inner, &mailbox, position, handling, envelope);
            return Ok(Accepted { position, ticket });
        }
    }

    /// Whether sends from outside to this mailbox have to wait.
    pub(crate) fn is_mailbox_full(&self, inner: &Inner) -> bool {
        inner.rules.len() >= self.config.mailbox_messages_max || inner.bytes >= self.config.mailbox_bytes_max
    }

    /// Whether sends from outside to any mailbox of this node have to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting() >= self.config.node_messages_max || self.load.bytes() >= self.config.node_bytes_max
    }

    /// The same once the message is counted among those that wait.
    fn is_overfull(&self) -> bool {
        self.waiting() > self.config.node_messages_max || self.load.bytes() >= self.config.node_bytes_max
    }

    /// Makes a submitted message visible to its receiver: at once, or when it is durable.
    pub(crate) fn place(
        &self,
        inner: &mut Inner,
        mailbox: &Arc<Mailbox>,
        position: Position,
        handling: Handling,
        envelope: Bytes,
    ) {
        let Handling { priority, expires } = handling;
        let bytes = envelope.len();
        inner.bytes += bytes;
        inner.add_key(&envelope);
        if let Some(expires) = expires {
            self.expires(mailbox, position, expires, &envelope);
        }
        let kept = inner.rules.enqueued(position, priority, envelope, self.window_has_room(bytes));
        let counted = if kept { &self.load.window_bytes } else { &self.load.beyond_bytes };
        counted.add(bytes);
        if mailbox.kind.delivery == Delivery::Pipelined && !self.quarantine.is_active() {
            inner.ring(mailbox);
        } else if !inner.gated {
            inner.gated = true;
            if self.gate.hold(position, super::Effect::Ring(Arc::clone(mailbox))).is_some() {
                inner.gated = false;
                inner.ring(mailbox);
            }
        }
    }
}
