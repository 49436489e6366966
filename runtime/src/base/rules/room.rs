//! Senders that wait for room, first come, first served. Pure: what there is room for is told, and whoever is given
//! some is woken; no clock, no task, no lock.
//!
//! Room is given, not announced: from that moment on it counts as used, so that nobody who comes later takes it, and
//! whoever was given it and does not use it leaves it to the next one.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

/// So many messages and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// A mailbox, a node or an outbox: what is in it, and from when on it is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) used: Amount,
    pub(crate) max: Amount,
}

/// One queue. Takes no memory while nobody waits in it.
#[derive(Debug, Default)]
pub(crate) struct SenderQueue(Option<Box<Senders>>);

/// Those who wait in a queue, by the numbers that they were given when they came.
#[derive(Debug, Default)]
struct Senders {
    waiting: BTreeMap<u64, Sender>,
    /// Who was given room and has not used it yet, and how many bytes.
    given: BTreeMap<u64, usize>,
    given_bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Sender {
    bytes: usize,
    waker: Option<Waker>,
}

impl SenderQueue {
    /// Whether nobody waits or was given room.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether somebody who has just come may go in.
    pub(crate) fn admits(&self, room: Room) -> bool {
        match &self.0 {
            None => room.has_some(Amount::default()),
            Some(senders) => senders.waiting.is_empty() && room.has_some(senders.given()),
        }
    }

    /// Joins the end of the queue, with a message of this size. Returns the number to be known by.
    pub(crate) fn join(&mut self, bytes: usize) -> u64 {
        let senders = self.0.get_or_insert_default();
        let number = senders.next();
        senders.waiting.insert(number, Sender { bytes, waker: None });
        number
    }

    /// Is given room at once: to somebody whom the queue admits, and who has to wait for something else.
    pub(crate) fn keep(&mut self, bytes: usize) -> u64 {
        let senders = self.0.get_or_insert_default();
        let number = senders.next();
        senders.give(number, bytes);
        number
    }

    /// Gives the room that there is to those who wait, in order.
    pub(crate) fn give(&mut self, room: Room) {
        let Some(senders) = &mut self.0 else { return };
        while room.has_some(senders.given())
            && let Some((number, sender)) = senders.waiting.pop_first()
        {
            senders.give(number, sender.bytes);
            sender.waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Whether this one was given room.
    pub(crate) fn has_given(&self, number: u64) -> bool {
        self.0.as_deref().is_some_and(|senders| senders.given.contains_key(&number))
    }

    /// Completes when this one is given room.
    pub(crate) fn poll(&mut self, number: u64, context: &Context<'_>) -> Poll<()> {
        match self.0.as_deref_mut().and_then(|senders| senders.waiting.get_mut(&number)) {
            Some(sender) => {
                sender.waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// This one leaves the queue: it has gone in, or does not want to any more. In the second case what it was given is
    /// room for others, so [`SenderQueue::give`] has to follow.
    pub(crate) fn leave(&mut self, number: u64) {
        let Some(senders) = &mut self.0 else { return };
        senders.waiting.remove(&number);
        senders.given_bytes -= senders.given.remove(&number).unwrap_or_default();
        if senders.waiting.is_empty() && senders.given.is_empty() {
            self.0 = None;
        }
    }

    /// Nobody need wait any more, room or not: whoever does is told, and finds out why.
    pub(crate) fn dismiss(&mut self) {
        self.give(Room { used: Amount::default(), max: Amount { messages: usize::MAX, bytes: usize::MAX } });
    }
}

impl Senders {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn give(&mut self, number: u64, bytes: usize) {
        self.given.insert(number, bytes);
        self.given_bytes += bytes;
    }

    fn given(&self) -> Amount {
        Amount { messages: self.given.len(), bytes: self.given_bytes }
    }
}

impl Room {
    /// Whether there is room beside what was given. A message goes in whatever its size, or a large one never would.
    pub(crate) fn has_some(&self, given: Amount) -> bool {
        self.used.messages.saturating_add(given.messages) < self.max.messages
            && self.used.bytes.saturating_add(given.bytes) < self.max.bytes
    }
}

#[cfg(test)]
mod tests;
