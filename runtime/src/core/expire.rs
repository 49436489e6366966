//! The step in which messages that have expired leave their mailbox: many of them in one submission.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use everpost_persistence::{MailboxId, Permit, Position};

use super::{Core, Effect};
use crate::expiry::{Expires, Expiring};
use crate::mailbox::waiter::Outcome;
use crate::mailbox::{Inner, Mailbox};

impl Core {
    /// A message that expires waits from here on.
    pub(crate) fn expires(&self, mailbox: &Mailbox, position: Position, expires: Expires, envelope: &[u8]) {
        self.expiries.add(expires.at, Expiring::new(mailbox, position, expires, envelope));
    }

    /// Drops messages of one mailbox, wherever they wait there. Hands back those that are in hand or held: what becomes of
    /// them is not known yet.
    pub(crate) fn drop_expired(&self, permit: Permit<'_>, id: MailboxId, mut expired: Vec<Expiring>) -> Vec<Expiring> {
        let mut later = Vec::new();
        // Without a mailbox in memory nothing waits there.
        if let Some(mailbox) = self.directory.find(id) {
            let mut inner = mailbox.lock();
            expired.retain(|expiring| {
                let is_taken = inner.rules.taken(expiring.position).is_some();
                if is_taken {
                    later.push(expiring.clone());
                }
                // What is not there was finished.
                !is_taken && inner.rules.contains(expiring.position)
            });
            if !expired.is_empty() {
                self.drop_locked(&mut inner, &mailbox, permit, &mut expired);
                inner.ring(&mailbox);
            }
        }
        later
    }

    /// Drops messages that are in this mailbox.
    pub(crate) fn drop_locked(
        &self,
        inner: &mut Inner,
        mailbox: &Arc<Mailbox>,
        permit: Permit<'_>,
        expired: &mut [Expiring],
    ) {
        expired.sort_unstable_by_key(|expiring| expiring.position);
        let mut index = 0;
        let mut recorded = Vec::new();
        let positions: Vec<_> = expired.iter().map(|expiring| expiring.position).collect();
        inner.rules.discard_all(&positions, |position, body, was_recorded| {
            // They come in any order, but nearly always in that of their positions.
            if expired.get(index).is_none_or(|expiring| expiring.position != position) {
                index = positions.binary_search(&position).expect("only what was asked for is discarded");
            }
            let counted = if body.is_some() { &self.load.window_bytes } else { &self.load.beyond_bytes };
            counted.take(expired[index].bytes);
            if was_recorded {
                recorded.push(position);
            }
            index += 1;
        });
        for expiring in &*expired {
            self.taken_out(inner, mailbox, expiring.bytes);
        }
        expired.iter().filter_map(|expiring| expiring.request).for_each(|request| inner.remove_request(request));
        let asking = expired.iter().filter(|_| mailbox.asking.is_any());
        let mut replies = self.kept_replies.in_step();
        let outlived: Vec<_> =
            asking.map(|expiring| self.outlive_waiting(&mut replies, mailbox, expiring.id)).collect();
        let (ticket, ()) = self.store.submit(permit, |stage| {
            outlived.iter().for_each(|outlived| outlived.stage(stage));
            positions.iter().for_each(|position| stage.delete(mailbox.inbox_key(*position)));
            recorded.iter().for_each(|position| stage.delete(mailbox.attempts_key(*position)));
        });
        drop(replies);
        inner.last_submitted = ticket;
        expired.iter().for_each(|expiring| self.expiries.note_dropped(expiring.id, ticket));
        outlived.into_iter().for_each(|outlived| self.outlived(outlived, ticket));
        self.counters.expired.fetch_add(expired.len() as u64, Ordering::Relaxed);
        for position in positions {
            if let Some(waiter) = inner.asks.take(position) {
                self.release_after(ticket, Effect::Tell(waiter, Outcome::Expired));
            }
        }
        tracing::debug!(node = %self.name, actor = %mailbox.address, messages = expired.len(), event = "expired", "dropped, as their sender or their actor type wants it");
    }
}
