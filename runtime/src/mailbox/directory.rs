//! Which mailboxes are in memory. At most one for an address, ever: a mailbox leaves only while nobody but the
//! directory refers to it. So whoever has one has the one of its address, for as long as they have it: a turn, the
//! gate, a timer, a holder, a sender that waits. There is no mailbox that has left, to be told apart from the one that
//! came after it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use everpost_persistence::{MailboxId, Position};
use rustc_hash::FxBuildHasher;

use crate::base::sync::{Mutex, MutexGuard, PoisonError};
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::Address;

/// Enough that two threads seldom meet.
const STRIPES: usize = 64;

type Stripe = HashMap<MailboxId, Arc<Mailbox>, FxBuildHasher>;

#[derive(Debug)]
pub(crate) struct Directory {
    stripes: Vec<Mutex<Stripe>>,
    partitions: std::num::NonZeroU16,
}

impl Directory {
    pub(crate) fn new(partitions: std::num::NonZeroU16) -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect(), partitions }
    }

    /// The mailbox of `address`; made when there is none in memory.
    pub(crate) fn mailbox(&self, address: &Address, actor_type: &Arc<ActorType>) -> Arc<Mailbox> {
        match self.stripe(address.mailbox()).entry(address.mailbox()) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let mailbox = Mailbox::new(address.clone(), address.partition(self.partitions), Arc::clone(actor_type));
                Arc::clone(entry.insert(Arc::new(mailbox)))
            }
        }
    }

    /// The mailbox with this id, if it is in memory.
    pub(crate) fn find(&self, mailbox: MailboxId) -> Option<Arc<Mailbox>> {
        self.stripe(mailbox).get(&mailbox).cloned()
    }

    /// Drops the mailbox from memory if nothing of it is worth keeping and the caller was the last to refer to it.
    pub(crate) fn retire(&self, mailbox: Arc<Mailbox>, durable: Position) {
        // The one of the directory and the caller's. It stays at that while the stripe is locked: a third could only be
        // had here.
        self.retire_if(mailbox, durable, |mailbox| Arc::strong_count(mailbox) == 2);
    }

    /// Drops the mailbox from memory if nothing of it is worth keeping and it `is_unused`, while nobody can look it up.
    pub(super) fn retire_if(
        &self,
        mailbox: Arc<Mailbox>,
        durable: Position,
        is_unused: impl FnOnce(&Arc<Mailbox>) -> bool,
    ) {
        let mut stripe = self.stripe(mailbox.id());
        if is_unused(&mailbox) && mailbox.lock().is_forgettable(durable) {
            stripe.remove(&mailbox.id());
        }
    }

    /// All mailboxes in memory, one stripe at a time. Whoever visits one has it to themselves.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Arc<Mailbox>)) {
        for stripe in &self.stripes {
            let mailboxes: Vec<_> = lock(stripe).values().cloned().collect();
            mailboxes.into_iter().for_each(&mut visit);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| lock(stripe).len()).sum()
    }

    fn stripe(&self, mailbox: MailboxId) -> MutexGuard<'_, Stripe> {
        let index = usize::try_from(mailbox.0 >> 64 & (STRIPES as u128 - 1)).expect("below the number of stripes");
        lock(&self.stripes[index])
    }
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::supervision::fixture::idle_type;

    /// A batch that had looked an address up before and after its mailbox left memory locked one for the other.
    #[test]
    fn a_mailbox_that_anybody_refers_to_does_not_leave() {
        let actor_type = Arc::new(idle_type());
        let directory = Directory::new(std::num::NonZeroU16::MIN);
        let address = Address::parse("idle/x").unwrap();
        let referred = directory.mailbox(&address, &actor_type);
        directory.retire(directory.mailbox(&address, &actor_type), Position(0));
        directory.for_each(|mailbox| directory.retire(mailbox, Position(0)));
        assert!(Arc::ptr_eq(&referred, &directory.mailbox(&address, &actor_type)), "it is the same for all");
        directory.retire(referred, Position(0));
        assert_eq!(directory.len(), 0, "nobody refers to it any more");
    }

    #[test]
    fn a_mailbox_with_something_in_it_does_not_leave() {
        let actor_type = Arc::new(idle_type());
        let directory = Directory::new(std::num::NonZeroU16::MIN);
        let address = Address::parse("idle/x").unwrap();
        directory.mailbox(&address, &actor_type).lock().submitted(Position(7));
        directory.for_each(|mailbox| directory.retire(mailbox, Position(6)));
        assert_eq!(directory.len(), 1, "its last turn is not durable");
        directory.for_each(|mailbox| directory.retire(mailbox, Position(7)));
        assert_eq!(directory.len(), 0);
    }
}
