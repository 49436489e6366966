//! Room for messages from outside, in a mailbox, in the node and in an outbox: who waits for it, and in which order.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::rules::room::Line;
use crate::base::rules::room::Room;
use crate::cluster::Peer;
use crate::core::Core;
use crate::mailbox::Mailbox;

/// Where a sender waits.
#[derive(Clone, Debug)]
pub(crate) enum Full {
    /// The node, over all of its mailboxes.
    Node,
    Mailbox(Arc<Mailbox>),
    /// What is owed to a peer.
    Outbox(Arc<Peer>),
}

/// A sender in a line. Dropped, it leaves the line, and what it was given goes to the next one.
pub(crate) struct WaitingSender<'a> {
    core: &'a Core,
    place: Full,
    number: u64,
}

/// Where one sender stands in line. In a mailbox first, and then in the node: so that nobody has room in the node that they
/// cannot use, because they wait for a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Waits<'a> {
    /// Room in the mailbox, or a place in the line for it.
    pub(crate) mailbox: Option<WaitingSender<'a>>,
    /// The same in the node, or in an outbox.
    pub(crate) beyond: Option<WaitingSender<'a>>,
}

impl<'a> WaitingSender<'a> {
    /// Joins the line, with a message of this size.
    pub(crate) fn join(core: &'a Core, place: Full, bytes: usize) -> Self {
        let number = core.in_line(&place, |line, _| line.join(bytes));
        // In a second step: who makes room from here on sees that somebody waits.
        core.in_line(&place, Line::give);
        Self { core, place, number }
    }

    /// One that keeps the room that it has been given in this line, which is locked.
    pub(crate) fn keeping(core: &'a Core, place: Full, line: &mut Line, bytes: usize) -> Self {
        Self { core, place, number: line.keep(bytes) }
    }

    /// Completes when it is given room, or the node is stopping.
    pub(crate) async fn has_room(&self) {
        // Asked after it has joined: a stop tells those who wait, and others have to look.
        if !self.core.is_stopping() {
            poll_fn(|context| self.core.in_line(&self.place, |line, _| line.poll(self.number, context))).await;
        }
    }

    /// Its number in the line.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether it was given room in this line, which is locked.
    pub(crate) fn was_given(&self, line: &Line) -> bool {
        line.has_given(self.number)
    }

    /// It has gone in. The line is locked.
    pub(crate) fn enter(mut self, line: &mut Line) {
        line.leave(self.number);
        // What is left to be dropped holds nothing.
        self.number = 0;
    }
}

impl Drop for WaitingSender<'_> {
    fn drop(&mut self) {
        if self.number != 0 {
            self.core.in_line(&self.place, |line, room| {
                line.leave(self.number);
                line.give(room);
            });
        }
    }
}

impl fmt::Debug for WaitingSender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingSender").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Who waits for room in the node. Looked at for every message and seldom written, so it is no part of what is written for
/// every message, whose line would no longer hold all of that.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct NodeLine {
    line: Mutex<Line>,
    /// Somebody stands in the line.
    is_used: AtomicBool,
}

impl NodeLine {
    /// Whether somebody stands in the line. What was done before makes room for them: in the one order of all such steps and
    /// looks, either this sees the sender, or the sender sees the room.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::SeqCst)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Line) -> T) -> T {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&mut line);
        self.is_used.store(!line.is_empty(), Ordering::SeqCst);
        seen
    }
}

impl Core {
    /// Looks at a line, and at the room that there is.
    pub(crate) fn in_line<T>(&self, place: &Full, look: impl FnOnce(&mut Line, Room) -> T) -> T {
        match place {
            Full::Node => self.node_line.with(|line| look(line, self.room())),
            Full::Mailbox(mailbox) => {
                let mut inner = mailbox.lock();
                let room = self.mailbox_room(&inner);
                look(inner.senders_mut(), room)
            }
            Full::Outbox(peer) => {
                let mut outgoing = peer.outgoing();
                let room = outgoing.room();
                look(&mut outgoing.line, room)
            }
        }
    }

    /// Gives room in the node to those who wait for it, if somebody does.
    pub(crate) fn give_room(&self) {
        if self.node_line.is_used() {
            self.in_line(&Full::Node, Line::give);
        }
    }

    /// Whoever waits for room will not get it here.
    pub(crate) fn dismiss_senders(&self) {
        self.in_line(&Full::Node, |line, _| line.dismiss());
        self.directory.for_each(|mailbox| mailbox.lock().senders_mut().dismiss());
        self.cluster.peers().iter().for_each(|peer| peer.outgoing().dismiss_senders());
    }
}
