//! The moments at which mailboxes are to be looked at again, of the whole node: one ordered index, and one task that
//! sleeps until the first. A mailbox has one entry, which is moved when an earlier moment comes; so a deferral costs an
//! entry and no task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::clock::{Clock, Steady};
use crate::base::rules::wheel::{Entry, Index};
use crate::mailbox::Mailbox;
use crate::shard::Shard;

/// How long is slept at most: a machine that is suspended passes time that a sleep does not see.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Due {
    /// The mailbox is rung.
    Ring(Arc<Mailbox>),
    /// A new activation may start: the backoff after one that failed is over.
    Restart(Arc<Mailbox>),
}

/// The moments of a node. Locked after any mailbox.
#[derive(Debug, Default)]
pub(crate) struct Wheel {
    index: Mutex<Index<Due>>,
    /// Rung when something is due before all that was.
    pub(crate) earlier: Notify,
}

impl Wheel {
    /// Sets `due` for `moment`, in place of `moved`.
    pub(crate) fn set(&self, moved: Option<Entry>, moment: Steady, due: Due) -> Entry {
        let (entry, is_first) = {
            let mut index = self.lock();
            if let Some(moved) = moved {
                index.remove(moved);
            }
            index.set(moment, due)
        };
        if is_first {
            self.earlier.notify_one();
        }
        entry
    }

    /// Nothing happens at this entry any more.
    pub(crate) fn forget(&self, entry: Entry) {
        self.lock().remove(entry);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Index<Due>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a moment of the timeline, for what is not worth an entry in the wheel. It looks as often as that does.
pub(crate) async fn reached(clock: &Clock, moment: Steady) {
    loop {
        match moment.since(clock.steady()) {
            Duration::ZERO => return,
            wait => tokio::time::sleep(wait.min(LOOK_EVERY)).await,
        }
    }
}

impl Shard {
    /// Rings at that moment, unless something rings before.
    pub(crate) fn ring_at(&self, mailbox: &Arc<Mailbox>, moment: Steady) {
        let mut inner = mailbox.lock();
        inner.ring_at(moment, |moved| self.wheel.set(moved, moment, Due::Ring(Arc::clone(mailbox))));
    }

    /// Drops a mailbox from memory if nothing of it is worth keeping, and the caller was the last to refer to it.
    pub(crate) fn retire(&self, mailbox: Arc<Mailbox>) {
        // What is idle waits for nothing: its entry, if it left one, would keep it in memory until then.
        let left = mailbox.lock().take_needless_alarm();
        if let Some(entry) = left {
            self.wheel.forget(entry);
        }
        self.directory.retire(mailbox, self.store.durable());
    }
}
