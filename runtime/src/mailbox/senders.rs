//! Who waits for room in one mailbox: senders of this node, which wait in a queue, and other nodes, which are told when
//! there is some.

use super::Inner;
use crate::base::rules::room::{Room, SenderQueue};

#[derive(Debug, Default)]
pub(super) struct Senders {
    queue: SenderQueue,
    /// Other nodes were told that the mailbox is full, and not yet that it has room again.
    told_full: bool,
}

impl Inner {
    /// Senders of this node that wait for room.
    pub(crate) fn senders(&self) -> &SenderQueue {
        &self.senders.queue
    }

    pub(crate) fn senders_mut(&mut self) -> &mut SenderQueue {
        &mut self.senders.queue
    }

    /// Another node is told that the mailbox is full.
    pub(crate) fn told_full(&mut self) {
        self.senders.told_full = true;
    }

    /// Something has left, after which there is this `room`: those who wait in a queue are given it. True when other
    /// nodes are to be told that there is some: once a half is free, so that they are not told of each message.
    pub(crate) fn made_room(&mut self, room: Room) -> bool {
        if !self.senders.queue.is_empty() {
            self.senders.queue.give(room);
        }
        let is_half_free = || room.used.messages <= room.max.messages / 2 && room.used.bytes <= room.max.bytes / 2;
        let is_told = self.senders.told_full && is_half_free();
        self.senders.told_full &= !is_told;
        is_told
    }
}
