//! Who on this node waits for what becomes of a message at another one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::Position;
use everpost_transport::link::Lane;
use tokio::sync::oneshot;

use crate::cluster::note::Note;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::outcome::Outcome;

/// The messages whose outcome is waited for, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: Mutex<Waiting>,
}

/// What the peer is to be asked is a part of who waits, so that nothing which is waited for can be lost on the way to
/// it.
#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<u128, Entry>,
    /// Those that the peer is to be asked about, each once; some may not be waited for any more.
    to_ask: VecDeque<u128>,
    /// The node has ended: whoever comes is told at once.
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    awaited: Awaited,
    is_to_be_asked: bool,
}

/// From here on those who have stopped waiting are looked for whenever the map would grow.
const PRUNE_FROM: usize = 1024;

/// A message whose outcome is waited for.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) waiter: oneshot::Sender<Outcome>,
    pub(crate) address: Address,
    pub(crate) lane: Lane,
    pub(crate) position: Position,
    /// The reply is wanted too.
    pub(crate) reply: bool,
}

/// What the peer may be asked about a message.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    pub(crate) id: MessageId,
    pub(crate) address: Address,
    pub(crate) lane: Lane,
    pub(crate) position: Position,
    pub(crate) reply: bool,
}

impl Pending {
    /// Adds who waits. At the end of the node it is dropped instead, which tells it.
    pub(crate) fn wait(&self, id: MessageId, awaited: Awaited) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        let by_id = &mut waiting.by_id;
        if by_id.len() >= PRUNE_FROM && by_id.len() == by_id.capacity() {
            by_id.retain(|_, entry| !entry.awaited.waiter.is_closed());
            // What is reserved is filled before they are looked for again.
            by_id.reserve(by_id.len());
        }
        // Who waits anew for what the peer is to be asked about already is asked about with that.
        let is_to_be_asked = by_id.get(&id.0).is_some_and(|entry| entry.is_to_be_asked);
        by_id.insert(id.0, Entry { awaited, is_to_be_asked });
    }

    /// The peer has the message, and is to be asked about it if it is still waited for.
    pub(crate) fn ask(&self, id: MessageId) {
        let mut waiting = self.lock();
        let Waiting { by_id, to_ask, .. } = &mut *waiting;
        if let Some(entry) = by_id.get_mut(&id.0)
            && !entry.is_to_be_asked
        {
            entry.is_to_be_asked = true;
            to_ask.push_back(id.0);
        }
    }

    /// A conversation begins: nothing was asked in it yet. The peer is to be asked about every message of which
    /// `has_it` says that the peer has it; who has stopped waiting is forgotten.
    pub(crate) fn ask_anew(&self, mut has_it: impl FnMut(Lane, Position) -> bool) {
        let mut waiting = self.lock();
        let Waiting { by_id, to_ask, .. } = &mut *waiting;
        to_ask.clear();
        by_id.retain(|id, Entry { awaited, is_to_be_asked }| {
            if awaited.waiter.is_closed() {
                return false;
            }
            *is_to_be_asked = has_it(awaited.lane, awaited.position);
            if *is_to_be_asked {
                to_ask.push_back(*id);
            }
            true
        });
    }

    /// Takes up to so many inquiries that the peer is to be told now.
    pub(crate) fn inquiries(&self, max: usize) -> Vec<Note> {
        let mut waiting = self.lock();
        let Waiting { by_id, to_ask, .. } = &mut *waiting;
        let mut inquiries = Vec::new();
        while inquiries.len() < max
            && let Some(id) = to_ask.pop_front()
        {
            if let Some(Entry { awaited, is_to_be_asked }) = by_id.get_mut(&id)
                && std::mem::take(is_to_be_asked)
            {
                let Awaited { address, reply, .. } = awaited;
                inquiries.push(Note::Inquiry { id, destination: address.to_string(), reply: *reply });
            }
        }
        inquiries
    }

    /// The peer has said what became of a message. Whoever has stopped waiting is not told. Returns whether anybody
    /// was.
    pub(crate) fn resolve(&self, id: u128, outcome: Outcome) -> bool {
        let told = self.lock().by_id.remove(&id);
        told.is_some_and(|entry| entry.awaited.waiter.send(outcome).is_ok())
    }

    /// A message is gone: hands over who waits for what became of it.
    pub(crate) fn take(&self, id: MessageId) -> Option<oneshot::Sender<Outcome>> {
        self.lock().by_id.remove(&id.0).map(|entry| entry.awaited.waiter)
    }

    /// A message cannot be delivered: whoever waits for what becomes of it is told so.
    pub(crate) fn undeliverable(&self, lane: Lane, position: Position, reason: &str) {
        // Found without an index, since it is rare.
        let is_it = |_: &u128, entry: &mut Entry| (entry.awaited.lane, entry.awaited.position) == (lane, position);
        for (_, entry) in self.lock().by_id.extract_if(is_it) {
            let _ = entry.awaited.waiter.send(Outcome::Undeliverable(reason.to_owned()));
        }
    }

    /// The node has ended: whoever waits is told that it will not be, and so is whoever comes later.
    pub(crate) fn close(&self) {
        let closed = Waiting { closed: true, ..Waiting::default() };
        // Told outside of the lock.
        drop(std::mem::replace(&mut *self.lock(), closed));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane { receiver_type: 1, partition: 2 };

    fn wait(pending: &Pending, id: u128) -> oneshot::Receiver<Outcome> {
        let (waiter, outcome) = oneshot::channel();
        let (address, position) = (Address::parse("worker/one").unwrap(), Position(id as u64));
        pending.wait(MessageId(id), Awaited { waiter, address, lane: LANE, position, reply: false });
        outcome
    }

    fn asked(pending: &Pending) -> Vec<u128> {
        let taken = std::iter::from_fn(|| Some(pending.inquiries(1000)).filter(|taken| !taken.is_empty())).flatten();
        let id = |note| if let Note::Inquiry { id, .. } = note { id } else { unreachable!("all are inquiries") };
        taken.map(id).collect()
    }

    /// Of 200,000 inquiries at once 65,536 used to be left.
    #[test]
    fn the_peer_is_asked_about_everything_that_is_waited_for_once() {
        let pending = Pending::default();
        let waiting: Vec<_> = (0..200_000).map(|id| wait(&pending, id)).collect();
        for id in 0..200_000 {
            pending.ask(MessageId(id));
            pending.ask(MessageId(id));
        }
        assert_eq!(asked(&pending), (0..200_000).collect::<Vec<_>>());
        assert!(asked(&pending).is_empty());
        pending.ask_anew(|_, position| position.0 % 2 == 0);
        let mut again = asked(&pending);
        again.sort_unstable();
        assert_eq!(again, (0..200_000).step_by(2).collect::<Vec<_>>());
        drop(waiting);
        pending.ask_anew(|_, _| true);
        assert!(asked(&pending).is_empty(), "nobody waits any more");
    }

    #[test]
    fn at_the_end_everybody_is_told_and_whoever_comes_later() {
        let pending = Pending::default();
        let mut before = wait(&pending, 1);
        pending.ask(MessageId(1));
        pending.close();
        let mut after = wait(&pending, 2);
        pending.ask(MessageId(2));
        for outcome in [&mut before, &mut after] {
            assert!(matches!(outcome.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        }
        assert!(asked(&pending).is_empty());
    }
}
