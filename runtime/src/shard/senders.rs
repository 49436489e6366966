//! Room for messages from outside, in a mailbox, in the node and in an outbox: who waits for it, and in which order.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::rules::room::Room;
use crate::base::rules::room::SenderQueue;
use crate::cluster::Peer;
use crate::mailbox::Mailbox;
use crate::shard::Shard;

/// Where a sender waits.
#[derive(Clone, Debug)]
pub(crate) enum Full {
    /// The node, over all of its mailboxes.
    Node,
    Mailbox(Arc<Mailbox>),
    /// What is owed to a peer.
    Outbox(Arc<Peer>),
}

/// A sender in a queue. Dropped, it leaves the queue, and what it was given goes to the next one.
pub(crate) struct WaitingSender<'a> {
    shard: &'a Shard,
    place: Full,
    number: u64,
}

/// Where one sender waits in the queue. In a mailbox first, and then in the node: so that nobody has room in the node
/// that they cannot use, because they wait for a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Waits<'a> {
    /// Room in the mailbox, or a place in the queue for it.
    pub(crate) mailbox: Option<WaitingSender<'a>>,
    /// The same in the node, or in an outbox.
    pub(crate) beyond: Option<WaitingSender<'a>>,
}

impl<'a> WaitingSender<'a> {
    /// Joins the queue, with a message of this size.
    pub(crate) fn join(shard: &'a Shard, place: Full, bytes: usize) -> Self {
        let number = shard.with_senders(&place, |queue, _| queue.join(bytes));
        // In a second step: who makes room from here on sees that somebody waits.
        shard.with_senders(&place, SenderQueue::give);
        Self { shard, place, number }
    }

    /// One that keeps the room that it has been given in this queue, which is locked.
    pub(crate) fn keeping(shard: &'a Shard, place: Full, queue: &mut SenderQueue, bytes: usize) -> Self {
        Self { shard, place, number: queue.keep(bytes) }
    }

    /// Completes when it is given room, or the node is stopping.
    pub(crate) async fn has_room(&self) {
        // Asked after it has joined: a stop tells those who wait, and others have to look.
        if !self.shard.is_stopping() {
            poll_fn(|context| self.shard.with_senders(&self.place, |queue, _| queue.poll(self.number, context))).await;
        }
    }

    /// Its number in the queue.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether it was given room in this queue, which is locked.
    pub(crate) fn was_given(&self, queue: &SenderQueue) -> bool {
        queue.has_given(self.number)
    }

    /// It has gone in. The queue is locked.
    pub(crate) fn enter(mut self, queue: &mut SenderQueue) {
        queue.leave(self.number);
        // What is left to be dropped holds nothing.
        self.number = 0;
    }
}

impl Drop for WaitingSender<'_> {
    fn drop(&mut self) {
        if self.number != 0 {
            self.shard.with_senders(&self.place, |queue, room| {
                queue.leave(self.number);
                queue.give(room);
            });
        }
    }
}

impl fmt::Debug for WaitingSender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingSender").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Who waits for room in the node. Looked at for every message and seldom written, so it is no part of what is written
/// for every message, whose queue would no longer hold all of that.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct NodeSenders {
    senders: Mutex<SenderQueue>,
    /// Somebody waits in the queue.
    is_used: AtomicBool,
}

impl NodeSenders {
    /// Whether somebody waits in the queue. What was done before makes room for them: in the one order of all such
    /// steps and looks, either this sees the sender, or the sender sees the room.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::SeqCst)
    }

    fn with<T>(&self, look: impl FnOnce(&mut SenderQueue) -> T) -> T {
        let mut queue = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&mut queue);
        self.is_used.store(!queue.is_empty(), Ordering::SeqCst);
        seen
    }
}

impl Shard {
    /// Looks at a queue, and at the room that there is.
    pub(crate) fn with_senders<T>(&self, place: &Full, look: impl FnOnce(&mut SenderQueue, Room) -> T) -> T {
        match place {
            Full::Node => self.node_senders.with(|queue| look(queue, self.room())),
            Full::Mailbox(mailbox) => {
                let mut inner = mailbox.lock();
                let room = self.mailbox_room(&inner);
                look(inner.senders_mut(), room)
            }
            Full::Outbox(peer) => {
                let mut outgoing = peer.outgoing();
                let room = outgoing.room();
                look(&mut outgoing.senders, room)
            }
        }
    }

    /// Gives room in the node to those who wait for it, if somebody does.
    pub(crate) fn give_room(&self) {
        if self.node_senders.is_used() {
            self.with_senders(&Full::Node, SenderQueue::give);
        }
    }

    /// Whoever waits for room will not get it here.
    pub(crate) fn dismiss_senders(&self) {
        self.with_senders(&Full::Node, |queue, _| queue.dismiss());
        self.directory.for_each(|mailbox| mailbox.lock().senders_mut().dismiss());
        self.cluster.peers().iter().for_each(|peer| peer.outgoing().dismiss_senders());
    }
}
