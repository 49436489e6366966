//! Room for messages from outside: in a mailbox, and in the node over all of its mailboxes.

use super::Shard;
use crate::base::rules::room::{Amount, Room};
use crate::config::NodeConfig;
use crate::mailbox::Inner;
use crate::shard::senders::{Full, WaitingSender};

impl Shard {
    /// Whether a message from outside may go into this mailbox, or into the queue for the node.
    pub(crate) fn mailbox_admits(&self, inner: &Inner, sender: Option<&WaitingSender<'_>>) -> bool {
        match sender {
            Some(sender) => sender.was_given(inner.senders()),
            None => inner.senders().admits(self.mailbox_room(inner)),
        }
    }

    /// Whether a message from outside that was counted already may go into this node.
    pub(crate) fn node_admits(&self, sender: Option<&WaitingSender<'_>>) -> bool {
        if !self.node_senders.is_used() {
            return !self.is_overfull();
        }
        self.with_senders(&Full::Node, |queue, mut room| match sender {
            Some(sender) => sender.was_given(queue),
            None => {
                room.used.messages -= 1;
                queue.admits(room)
            }
        })
    }

    /// The room in a mailbox.
    pub(crate) fn mailbox_room(&self, inner: &Inner) -> Room {
        let NodeConfig { mailbox_messages_max, mailbox_bytes_max, .. } = self.config;
        Room { used: inner.amount(), max: Amount { messages: mailbox_messages_max, bytes: mailbox_bytes_max } }
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
}
