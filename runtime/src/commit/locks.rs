//! Several mailboxes, and the outboxes to several peers, locked at once: for a commit that touches them all in one
//! step.

use std::ptr;
use std::sync::{Arc, MutexGuard};

use everpost_persistence::MailboxId;
use smallvec::SmallVec;

use crate::cluster::{Outgoing, Peer};
use crate::mailbox::{Inner, Locked, Mailbox};

/// Most commits touch one mailbox and a few others; these need no allocation.
const USUAL: usize = 4;

/// The locks of a set of mailboxes.
pub(super) struct MailboxLocks<'a> {
    mailboxes: SmallVec<[&'a Arc<Mailbox>; USUAL]>,
    /// Where there are more than the usual: their ids in one piece, so that to look for one reads no other mailbox.
    ids: Vec<MailboxId>,
    inner: SmallVec<[Locked<'a>; USUAL]>,
}

impl<'a> MailboxLocks<'a> {
    /// Locks each of them once.
    ///
    /// All callers lock in the order of the ids, so that two turns that send to each other cannot wait for each other.
    /// Two with one id are the same: the directory sees to that.
    #[inline]
    pub(super) fn lock(mut mailboxes: SmallVec<[&'a Arc<Mailbox>; USUAL]>) -> Self {
        if mailboxes.len() > 1 {
            mailboxes.sort_unstable_by_key(|mailbox| mailbox.id());
            mailboxes.dedup_by_key(|mailbox| mailbox.id());
        }
        let ids = match mailboxes.len() {
            ..=USUAL => Vec::new(),
            _ => mailboxes.iter().map(|mailbox| mailbox.id()).collect(),
        };
        let inner = mailboxes.iter().map(|mailbox| mailbox.lock()).collect();
        Self { mailboxes, ids, inner }
    }

    #[inline]
    pub(super) fn unlock(&mut self) {
        self.inner.clear();
    }

    /// The contents of a mailbox that was locked.
    #[inline]
    pub(super) fn of(&mut self, mailbox: &Mailbox) -> &mut Inner {
        let index = match self.mailboxes.len() {
            // An address has one mailbox in memory.
            ..=USUAL => self.mailboxes.iter().position(|locked| ptr::eq(&***locked, mailbox)),
            _ => self.ids.binary_search(&mailbox.id()).ok(),
        };
        let index = index.expect("it was locked");
        &mut self.inner[index]
    }
}

/// The locks of the outboxes to a set of peers. Taken after those of mailboxes.
pub(super) struct PeerLocks<'a> {
    peers: SmallVec<[(&'a str, MutexGuard<'a, Outgoing>); 1]>,
}

impl<'a> PeerLocks<'a> {
    /// Locks each of them once, in the order of their names.
    #[inline]
    pub(super) fn lock(mut peers: SmallVec<[&'a Arc<Peer>; USUAL]>) -> Self {
        peers.sort_unstable_by_key(|peer| &*peer.name);
        peers.dedup_by_key(|peer| &*peer.name);
        Self { peers: peers.into_iter().map(|peer| (&*peer.name, peer.outgoing())).collect() }
    }

    #[inline]
    pub(super) fn unlock(&mut self) {
        self.peers.clear();
    }

    /// What is owed to a peer that was locked.
    #[inline]
    pub(super) fn of(&mut self, peer: &Peer) -> &mut Outgoing {
        let locked = self.peers.iter_mut().find(|(name, _)| *name == &*peer.name);
        &mut locked.expect("it was locked").1
    }
}

/// What a commit has to lock, as its effects say.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub(super) mailboxes: SmallVec<[&'a Arc<Mailbox>; USUAL]>,
    pub(super) peers: SmallVec<[&'a Arc<Peer>; USUAL]>,
}
