//! Which messages expire when. Only those that expire at all pay for a place here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::Position;
use tokio::sync::Notify;

use crate::base::clock::Steady;
use crate::cluster::expiring::{Expiring, Waits};
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::envelope::{id_of, request_of};
use crate::message::expiry::Expires;
use crate::message::newest::Newest;

/// A message that expires in a mailbox.
pub(crate) fn expiring_in(mailbox: &Mailbox, position: Position, expires: Expires, envelope: &[u8]) -> Expiring {
    let id = id_of(envelope).expect("only what has headers says that it expires");
    let then = expires.then.unwrap_or(mailbox.actor_type.expired);
    let (place, request) = (Waits::Mailbox(mailbox.id()), request_of(envelope));
    Expiring { position, place, id, request, bytes: envelope.len(), then }
}

/// The messages of a node that expire. Locked after mailboxes and what peers are owed.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    state: Mutex<State>,
    /// Rung when one expires before all others.
    pub(crate) earlier: Notify,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// The messages that were dropped last, and the submissions that did it.
    dropped: Newest<Position>,
}

impl Expiries {
    /// A message waits from here on, until that moment.
    pub(crate) fn add(&self, at: Steady, expiring: Expiring) {
        let is_first = self.lock().index.add(at, expiring);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// A message that expires waits in a mailbox from here on.
    pub(crate) fn add_waiting(&self, mailbox: &Mailbox, position: Position, expires: Expires, envelope: &[u8]) {
        self.add(expires.at, expiring_in(mailbox, position, expires, envelope));
    }

    /// A message does not wait any more. Nothing happens if it is not here, or was put off.
    pub(crate) fn remove(&self, at: Steady, position: Position) {
        self.lock().index.by_moment.remove(&(at, position));
    }

    /// When the first expires.
    pub(crate) fn next(&self) -> Option<Steady> {
        self.lock().index.next()
    }

    /// Takes out up to `max` of those that have expired.
    pub(crate) fn take_due(&self, now: Steady, max: usize) -> Vec<Expiring> {
        self.lock().index.take_due(now, max)
    }

    /// This message was dropped, by the submission with this ticket.
    pub(crate) fn note_dropped(&self, id: MessageId, ticket: Position) {
        self.lock().dropped.note(id, ticket);
    }

    /// The ticket of the submission that has dropped this message, if it was dropped, as far as that is still known.
    pub(crate) fn dropped(&self, id: MessageId) -> Option<Position> {
        self.lock().dropped.get(id).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pure: the messages by the moment at which they expire.
#[derive(Debug, Default)]
struct Index {
    by_moment: BTreeMap<(Steady, Position), Expiring>,
}

impl Index {
    /// Returns whether it expires before all others.
    fn add(&mut self, at: Steady, expiring: Expiring) -> bool {
        let is_first = self.next().is_none_or(|first| at < first);
        self.by_moment.insert((at, expiring.position), expiring);
        is_first
    }

    fn next(&self) -> Option<Steady> {
        self.by_moment.first_key_value().map(|((at, _), _)| *at)
    }

    fn take_due(&mut self, now: Steady, max: usize) -> Vec<Expiring> {
        let mut due = Vec::new();
        while due.len() < max
            && let Some(first) = self.by_moment.first_entry().filter(|first| first.key().0 <= now)
        {
            due.push(first.remove());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use everpost_persistence::MailboxId;

    use super::*;
    use crate::message::expiry::Expiry;

    fn expiring(position: u64) -> Expiring {
        let (position, place, id) = (Position(position), Waits::Mailbox(MailboxId(1)), MessageId(2));
        Expiring { position, place, id, request: None, bytes: 3, then: Expiry::Drop }
    }

    proptest! {
        #[test]
        fn each_expires_once_when_it_is_due_and_the_first_first(
            moments in proptest::collection::vec(0_u64..50, 0..60),
            max in 1_usize..9,
        ) {
            let mut index = Index::default();
            for (position, at) in (1..).zip(&moments) {
                let first = moments[..position as usize - 1].iter().all(|before| at < before);
                prop_assert_eq!(index.add(Steady(*at), expiring(position)), first);
            }
            let mut taken = Vec::new();
            for now in 0..50 {
                while index.next().is_some_and(|next| next <= Steady(now)) {
                    let due = index.take_due(Steady(now), max);
                    prop_assert!((1..=max).contains(&due.len()));
                    taken.extend(due.into_iter().map(|due| (now, due.position.0)));
                }
            }
            let mut expected: Vec<_> = moments.iter().copied().zip(1..).collect();
            expected.sort_unstable();
            prop_assert_eq!(taken, expected);
        }
    }
}
