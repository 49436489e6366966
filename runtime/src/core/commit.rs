//! The end of a turn: everything that it did is submitted in one step, or nothing is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{Key, Permit, Position};
use smallvec::SmallVec;

use super::locked::Locked;
use super::{Core, Effect};
use crate::ask::Outcome;
use crate::envelope::Header;
use crate::mailbox::{Inner, Mailbox};
use crate::telemetry::Committed;
use crate::turn::{Staged, StagedSend};

/// A handler has returned: this is what its turn does.
pub(crate) struct Finished<'a> {
    pub(crate) position: Position,
    pub(crate) header: &'a Header<'a>,
    pub(crate) staged: Staged,
    /// The new state; absent when it did not change.
    pub(crate) record: Option<Bytes>,
    /// The state is to be forgotten once nothing waits, by this turn or one before it.
    pub(crate) forget: bool,
    pub(crate) reply: Option<Bytes>,
}

impl Core {
    /// Submits a turn: acknowledgement, state, sends and reply. Returns its ticket, and whether the state
    /// was forgotten.
    pub(crate) fn commit(
        &self,
        mailbox: &Arc<Mailbox>,
        permit: Permit<'_>,
        finished: Finished<'_>,
    ) -> (Position, bool) {
        loop {
            // Looked up anew after a mailbox has left the directory under our hands.
            let receivers: SmallVec<[_; 4]> =
                finished.staged.sends.iter().map(|send| self.directory.mailbox(&send.address, &send.kind)).collect();
            if let Some(locked) = Locked::all(receivers.iter().chain([mailbox])) {
                return self.commit_locked(mailbox, &receivers, locked, permit, finished);
            }
        }
    }

    fn commit_locked(
        &self,
        mailbox: &Arc<Mailbox>,
        receivers: &[Arc<Mailbox>],
        mut locked: Locked<'_>,
        permit: Permit<'_>,
        finished: Finished<'_>,
    ) -> (Position, bool) {
        let Finished { position, header, staged, record, forget, reply } = finished;
        // Added before the one that is done is taken off, so that the count is zero only when nothing waits.
        self.add_waiting(receivers.len());
        let own = locked.of(mailbox);
        let recorded = self.acknowledge(own, mailbox, position);
        let to_itself = receivers.iter().any(|receiver| receiver.id() == mailbox.id());
        let forgotten = forget && own.rules.is_empty() && !to_itself;
        let reply_key = header.keep_reply.then(|| Key::Reply {
            partition: mailbox.partition,
            mailbox: mailbox.id(),
            request: header.id().0,
        });
        let (ticket, positions) = self.store.submit(permit, |stage| {
            stage.delete(mailbox.inbox_key(position));
            if recorded {
                stage.delete(mailbox.attempts_key(position));
            }
            if forgotten {
                stage.delete(mailbox.state_key());
            } else if let Some(record) = record {
                stage.put(mailbox.state_key(), record);
            }
            if let Some((key, reply)) = reply_key.zip(reply.clone()) {
                stage.put(key, reply);
            }
            for key in &staged.replies {
                stage.delete(*key);
            }
            let enqueue = |(send, receiver): (&StagedSend, &Arc<Mailbox>)| {
                stage.enqueue(receiver.partition, send.envelope.clone())
            };
            staged.sends.iter().zip(receivers).map(enqueue).collect::<SmallVec<[_; 4]>>()
        });

        let own = locked.of(mailbox);
        own.last_submitted = ticket;
        own.restarts = 0;
        if header.keep_reply {
            self.kept_replies.submitted(header.id(), ticket);
            self.release_after(ticket, Effect::ReplyStored(header.id().0));
        }
        if let Some(waiter) = own.asks.remove(&position) {
            self.release_after(ticket, Effect::Reply(waiter, Outcome::Replied(reply.unwrap_or_default())));
        }
        for ((send, receiver), position) in staged.sends.into_iter().zip(receivers).zip(positions) {
            self.place(locked.of(receiver), receiver, position, send.envelope);
        }
        drop(locked);
        self.load.handled.fetch_add(1, Ordering::Relaxed);
        if Committed::is_wanted() {
            self.release_after(ticket, Effect::Log(Committed::new(&mailbox.address, header, position)));
        }
        (ticket, forgotten)
    }

    /// Takes the message in hand out of the mailbox. Returns whether the store holds a record of its failures.
    fn acknowledge(&self, inner: &mut Inner, mailbox: &Mailbox, position: Position) -> bool {
        let (finished, body, recorded) = inner.rules.finished();
        assert_eq!(finished, position, "the message in hand is the one that was handled");
        self.load.window_bytes.fetch_sub(body.len(), Ordering::Relaxed);
        self.taken_out(mailbox);
        recorded
    }

    pub(super) fn taken_out(&self, mailbox: &Mailbox) {
        self.load.waiting.fetch_sub(1, Ordering::AcqRel);
        if mailbox.has_waiting_senders() {
            mailbox.room.notify_one();
        }
    }
}
