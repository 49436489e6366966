//! Several mailboxes locked at once, for a turn that touches them all in one step.

use std::sync::{Arc, MutexGuard};

use smallvec::SmallVec;

use crate::mailbox::{Inner, Mailbox};

/// Most turns touch their own mailbox and a few others; these need no allocation.
const USUAL: usize = 4;

/// The locks of a set of mailboxes.
pub(super) struct Locked<'a> {
    mailboxes: SmallVec<[&'a Arc<Mailbox>; USUAL]>,
    inner: SmallVec<[MutexGuard<'a, Inner>; USUAL]>,
}

impl<'a> Locked<'a> {
    /// Locks each of them once. None if one has left the directory meanwhile: look it up again.
    ///
    /// All callers lock in the order of the ids, so that two turns that send to each other cannot wait for each other.
    pub(super) fn all(mailboxes: impl IntoIterator<Item = &'a Arc<Mailbox>>) -> Option<Self> {
        let mut mailboxes: SmallVec<[_; USUAL]> = mailboxes.into_iter().collect();
        mailboxes.sort_unstable_by_key(|mailbox| mailbox.id());
        mailboxes.dedup_by_key(|mailbox| mailbox.id());
        let inner: SmallVec<[_; USUAL]> = mailboxes.iter().map(|mailbox| mailbox.lock()).collect();
        let all_present = !inner.iter().any(|inner| inner.retired);
        all_present.then_some(Self { mailboxes, inner })
    }

    /// The contents of a mailbox that was locked.
    pub(super) fn of(&mut self, mailbox: &Mailbox) -> &mut Inner {
        let index = self.mailboxes.binary_search_by_key(&mailbox.id(), |locked| locked.id());
        &mut self.inner[index.expect("it was locked")]
    }
}
