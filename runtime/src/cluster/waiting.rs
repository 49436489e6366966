//! Who on this node waits for what becomes of a message at another one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::Position;
use everpost_transport::link::Lane;
use tokio::sync::oneshot;

use crate::address::Address;
use crate::message::MessageId;
use crate::waiter::Outcome;

/// The messages whose outcome is waited for, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    by_id: Mutex<HashMap<u128, Awaited>>,
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

/// What the peer is asked about a message that it has.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    pub(crate) id: MessageId,
    pub(crate) address: Address,
    pub(crate) lane: Lane,
    pub(crate) position: Position,
    pub(crate) reply: bool,
}

impl Pending {
    pub(crate) fn wait(&self, id: MessageId, awaited: Awaited) {
        let mut pending = self.lock();
        if pending.len() >= PRUNE_FROM && pending.len() == pending.capacity() {
            pending.retain(|_, awaited| !awaited.waiter.is_closed());
        }
        pending.insert(id.0, awaited);
    }

    /// The peer has said what became of a message. Whoever has stopped waiting is not told. Returns whether anybody was.
    pub(crate) fn resolve(&self, id: u128, outcome: Outcome) -> bool {
        let awaited = self.lock().remove(&id);
        awaited.is_some_and(|awaited| awaited.waiter.send(outcome).is_ok())
    }

    /// A message cannot be delivered: whoever waits for what becomes of it is told so.
    pub(crate) fn undeliverable(&self, lane: Lane, position: Position, reason: &str) {
        // Found without an index, since it is rare.
        for (_, awaited) in self.lock().extract_if(|_, awaited| (awaited.lane, awaited.position) == (lane, position)) {
            let _ = awaited.waiter.send(Outcome::Undeliverable(reason.to_owned()));
        }
    }

    /// Everything that is still waited for; who has stopped waiting is forgotten.
    pub(crate) fn inquiries(&self) -> Vec<Inquiry> {
        let mut pending = self.lock();
        pending.retain(|_, awaited| !awaited.waiter.is_closed());
        let inquiry = |(id, awaited): (&u128, &Awaited)| Inquiry {
            id: MessageId(*id),
            address: awaited.address.clone(),
            lane: awaited.lane,
            position: awaited.position,
            reply: awaited.reply,
        };
        pending.iter().map(inquiry).collect()
    }

    pub(crate) fn dismiss(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Awaited>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
