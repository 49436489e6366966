//! One step, without an await: the position, the place in the queue and what the receiver sees are decided together,
//! so that a cancelled send leaves no hole.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Permit, Position};

use super::Core;
use crate::actor::Delivery;
use crate::config::NodeConfig;
use crate::expiry::Handling;
use crate::mailbox::room::{Amount, Full, Room, WaitingSender, Waits};
use crate::mailbox::waiter::Waiter;
use crate::mailbox::{Inner, Mailbox, Queue};
use crate::message::address::Address;
use crate::questions::Asking;
use crate::supervise::supervision::Kind;
use crate::tables;

/// Whether the bound of the mailbox holds for this message.
#[derive(Debug)]
pub(crate) enum Bound<'w, 'c> {
    /// From outside: a full mailbox holds it back. Where its sender stands in line, if it has waited before.
    Outside(&'w mut Waits<'c>),
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

impl Core {
    /// Puts a message into its mailbox, or says what is full; nothing happened then.
    pub(crate) fn enqueue<'a, 'c>(
        &'c self,
        permit: Permit<'_>,
        bound: Bound<'_, 'c>,
        incoming: Incoming<'a>,
    ) -> Result<Accepted, Box<(Full, Incoming<'a>)>> {
        let mailbox = self.directory.mailbox(incoming.address, incoming.kind);
        let mut inner = mailbox.lock();
        let waits = match bound {
            Bound::Outside(waits) => Some(waits),
            Bound::Turn => None,
        };
        if let Some(waits) = &waits
            && !self.mailbox_admits(&inner, waits.mailbox.as_ref())
        {
            drop(inner);
            return Err(Box::new((Full::Mailbox(mailbox), incoming)));
        }
        let mut passed = None;
        // Counted before it is compared: to look first at what all threads write would fetch it twice.
        self.add_waiting(1);
        if let Some(waits) = waits {
            if !self.node_admits(waits.beyond.as_ref()) {
                self.load.waiting.take(1);
                // Who waits for room, or until nothing waits, may have seen this one, and no commit comes of it.
                self.give_room();
                self.gate.look_again();
                waits.mailbox.get_or_insert_with(|| {
                    let place = Full::Mailbox(Arc::clone(&mailbox));
                    WaitingSender::keeping(self, place, &mut inner.line, incoming.envelope.len())
                });
                return Err(Box::new((Full::Node, incoming)));
            }
            if let Some(sender) = waits.mailbox.take() {
                sender.enter(&mut inner.line);
            }
            passed = waits.beyond.take();
        }
        let Incoming { handling, envelope, waiter, mut question, .. } = incoming;
        let mut replies = self.kept_replies.in_step();
        let outlived = self.outlive_replaced(&mut replies, question.as_ref());
        let (ticket, position) = self.store.submit(permit, |stage| {
            outlived.stage(stage);
            let position = stage.enqueue(&tables::INBOX, mailbox.partition, envelope.clone());
            if let Some(question) = &mut question {
                question.stage(stage, position);
            }
            position
        });
        drop(replies);
        self.outlived(outlived, ticket);
        if let Some(waiter) = waiter {
            inner.asks.add(&self.gate, position, waiter);
        }
        if let Some(Asking { mailbox: asking, asked }) = question {
            inner.await_message(position);
            self.question_waits(asked.id(), &mailbox, position);
            self.quarantine.admit(mailbox.id(), position);
            self.asked.asked(asking, asked);
        }
        self.place(&mut inner, &mailbox, position, handling, envelope);
        if let Some(sender) = passed {
            // It was counted twice until now, as given room and as using it, so that room which was made meanwhile was not given.
            self.in_line(&Full::Node, |line, room| {
                sender.enter(line);
                line.give(room);
            });
        }
        Ok(Accepted { position, ticket })
    }

    /// Whether a message from outside may go into this mailbox, or into the line for the node.
    fn mailbox_admits(&self, inner: &Inner, sender: Option<&WaitingSender<'_>>) -> bool {
        match sender {
            Some(sender) => sender.was_given(&inner.line),
            None => inner.line.admits(self.mailbox_room(inner)),
        }
    }

    /// Whether a message from outside that was counted already may go into this node.
    fn node_admits(&self, sender: Option<&WaitingSender<'_>>) -> bool {
        if !self.node_line.is_used() {
            return !self.is_overfull();
        }
        self.in_line(&Full::Node, |line, mut room| match sender {
            Some(sender) => sender.was_given(line),
            None => {
                room.used.messages -= 1;
                line.admits(room)
            }
        })
    }

    /// The room in a mailbox.
    pub(crate) fn mailbox_room(&self, inner: &Inner) -> Room {
        let NodeConfig { mailbox_messages_max, mailbox_bytes_max, .. } = self.config;
        Room {
            used: Amount { messages: inner.rules.len(), bytes: inner.bytes },
            max: Amount { messages: mailbox_messages_max, bytes: mailbox_bytes_max },
        }
    }

    /// The room in the node, over all of its mailboxes.
    pub(crate) fn room(&self) -> Room {
        let NodeConfig { node_messages_max, node_bytes_max, .. } = self.config;
        Room {
            // In this order: who takes a message out does it the other way round.
            used: Amount { messages: self.waiting(), bytes: self.load.bytes() },
            max: Amount { messages: node_messages_max, bytes: node_bytes_max },
        }
    }

    /// Whether sends from outside to this mailbox have to wait.
    pub(crate) fn is_mailbox_full(&self, inner: &Inner) -> bool {
        !self.mailbox_room(inner).has_some(Amount::default())
    }

    /// Whether sends from outside to any mailbox of this node have to wait.
    pub(crate) fn is_full(&self) -> bool {
        !self.room().has_some(Amount::default())
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
        let queue = Queue { priority, is_for_holds: mailbox.kind.holds_what_is_in(&envelope) };
        let kept = inner.rules.enqueued(position, queue, envelope, self.window_has_room(bytes));
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
