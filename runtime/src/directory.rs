//! Which mailboxes are in memory. At most one for an address, ever: a mailbox leaves only while nothing refers to its
//! contents, marked as retired, so that whoever still holds it looks again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everpost_persistence::{MailboxId, Position};
use rustc_hash::FxBuildHasher;

use crate::address::Address;
use crate::mailbox::Mailbox;
use crate::supervision::Kind;

/// Enough that two threads seldom meet.
const SHARDS: usize = 64;

type Shard = HashMap<MailboxId, Arc<Mailbox>, FxBuildHasher>;

#[derive(Debug)]
pub(crate) struct Directory {
    shards: Vec<Mutex<Shard>>,
    partitions: std::num::NonZeroU16,
}

impl Directory {
    pub(crate) fn new(partitions: std::num::NonZeroU16) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), partitions }
    }

    /// The mailbox of `address`; made when there is none in memory.
    pub(crate) fn mailbox(&self, address: &Address, kind: &Arc<Kind>) -> Arc<Mailbox> {
        match self.shard(address.mailbox()).entry(address.mailbox()) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let mailbox = Mailbox::new(address.clone(), address.partition(self.partitions), Arc::clone(kind));
                Arc::clone(entry.insert(Arc::new(mailbox)))
            }
        }
    }

    /// The mailbox with this id, if it is in memory.
    pub(crate) fn find(&self, mailbox: MailboxId) -> Option<Arc<Mailbox>> {
        self.shard(mailbox).get(&mailbox).cloned()
    }

    /// Drops the mailbox from memory if nothing of it is worth keeping.
    pub(crate) fn retire(&self, mailbox: &Mailbox, durable: Position) {
        let mut shard = self.shard(mailbox.id());
        let mut inner = mailbox.lock();
        if !inner.retired && !mailbox.has_waiting_senders() && inner.is_forgettable(durable) {
            inner.retired = true;
            shard.remove(&mailbox.id());
        }
    }

    /// All mailboxes in memory, one shard at a time.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Mailbox>)) {
        for shard in &self.shards {
            let mailboxes: Vec<_> = lock(shard).values().cloned().collect();
            mailboxes.iter().for_each(&mut visit);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, mailbox: MailboxId) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(mailbox.0 >> 64 & (SHARDS as u128 - 1)).expect("below the number of shards");
        lock(&self.shards[index])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
