//! The end of a turn: everything that it did is submitted in one step, or nothing is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{Class, Key, Permit, Position};
use smallvec::SmallVec;

use super::locked::Locked;
use super::{Core, Effect};
use crate::activation::Kept;
use crate::ask::Outcome;
use crate::clock::Micros;
use crate::dead_letters::{DeadLetterRecord, Reason};
use crate::envelope::Header;
use crate::failure::{Failure, Verdict};
use crate::mailbox::{Inner, Mailbox};
use crate::telemetry::Committed;
use crate::turn::Staged;

/// How many errors of a message are kept.
const ERRORS_MAX: usize = 8;
/// How many bytes of each.
const ERROR_BYTES_MAX: usize = 4096;

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
    /// Submits a turn: acknowledgement, state, sends and reply. Returns its ticket and what became of the state.
    pub(crate) fn commit(
        &self,
        mailbox: &Arc<Mailbox>,
        mut permit: Permit,
        mut finished: Finished<'_>,
    ) -> (Position, Kept) {
        loop {
            // Looked up anew after a mailbox has left the directory under our hands.
            let receivers: SmallVec<[_; 4]> =
                finished.staged.sends.iter().map(|send| self.directory.mailbox(&send.address, &send.kind)).collect();
            match self.try_commit(mailbox, &receivers, permit, finished) {
                Ok(committed) => return committed,
                Err(again) => (permit, finished) = *again,
            }
        }
    }

    fn try_commit<'a>(
        &self,
        mailbox: &Arc<Mailbox>,
        receivers: &[Arc<Mailbox>],
        permit: Permit,
        finished: Finished<'a>,
    ) -> Result<(Position, Kept), Box<(Permit, Finished<'a>)>> {
        let Some(mut locked) = Locked::all(receivers.iter().chain([mailbox])) else {
            return Err(Box::new((permit, finished)));
        };
        let Finished { position, header, staged, record, forget, reply } = finished;
        // Added before the one that is done is taken off, so that the count is zero only when nothing waits.
        self.add_waiting(receivers.len());
        let own = locked.of(mailbox);
        let recorded = self.acknowledge(own, mailbox, position);
        let to_itself = receivers.iter().any(|receiver| receiver.id() == mailbox.id());
        let kept = match record {
            _ if forget && own.rules.is_empty() && !to_itself => Kept::Forgotten,
            Some(record) => Kept::Written(record),
            None => Kept::Same,
        };
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
            match &kept {
                Kept::Same => {}
                Kept::Written(record) => stage.put(mailbox.state_key(), record.clone()),
                Kept::Forgotten => stage.delete(mailbox.state_key()),
            }
            if let Some((key, reply)) = reply_key.zip(reply.clone()) {
                stage.put(key, reply);
            }
            for key in &staged.replies {
                stage.delete(*key);
            }
            let enqueue = |(send, receiver): (&crate::turn::StagedSend, &Arc<Mailbox>)| {
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
        self.counters.handled.fetch_add(1, Ordering::Relaxed);
        if Committed::is_wanted() {
            self.release_after(ticket, Effect::Log(Committed::new(&mailbox.address, header, position)));
        }
        Ok((ticket, kept))
    }

    /// A message in hand has failed: back to the head of its mailbox, or to the dead letters.
    pub(crate) async fn fail(&self, mailbox: &Arc<Mailbox>, failure: Failure) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        let (position, body, failures) = {
            let mut inner = mailbox.lock();
            let Some((position, body)) = inner.rules.in_hand().map(|(position, body)| (position, body.clone())) else {
                return;
            };
            let failures = inner.rules.failed(shortened(failure.to_string()), ERRORS_MAX);
            if let Verdict::Retry { after } = failure.verdict {
                let delay = after.unwrap_or_else(|| self.config.backoff.delay(failures.attempts, rand::random()));
                failures.not_before = Micros::now().plus(delay);
            }
            (position, body, failures.clone())
        };
        let reason = match failure.verdict {
            Verdict::Reject => Some(Reason::Rejected),
            Verdict::Retry { .. } if failures.attempts >= self.config.attempts_max => Some(Reason::AttemptsSpent),
            Verdict::Retry { .. } => None,
        };
        crate::telemetry::log_failure(&self.name, mailbox, position, &body, &failures, reason, &failure);
        let record = match reason {
            Some(reason) => DeadLetterRecord::encode(reason, &failures, &body),
            None => failures.encode(),
        };
        let Ok(permit) = self.store.reserve(Class::Turn { grows: true }, record.len()).await else {
            // The store has failed or closed, and the message is still in it.
            mailbox.lock().rules.interrupted();
            return;
        };
        match reason {
            Some(_) => drop(self.bury(mailbox, permit, position, record, &body, &failure.to_string())),
            None => self.put_back(mailbox, permit, position, record),
        }
    }

    fn put_back(&self, mailbox: &Mailbox, permit: Permit, position: Position, record: Bytes) {
        let mut inner = mailbox.lock();
        inner.rules.interrupted();
        let (ticket, ()) = self.store.submit(permit, |stage| stage.put(mailbox.attempts_key(position), record));
        inner.last_submitted = ticket;
    }

    /// Moves a message to the dead letters, in one commit. Returns its ticket.
    pub(crate) fn bury(
        &self,
        mailbox: &Mailbox,
        permit: Permit,
        position: Position,
        record: Bytes,
        envelope: &[u8],
        reason: &str,
    ) -> Position {
        let mut inner = mailbox.lock();
        if let Some(body) = inner.rules.discard(position) {
            self.window_bytes.fetch_sub(body.len(), Ordering::Relaxed);
        }
        self.taken_out(mailbox);
        let (ticket, ()) = self.store.submit(permit, |stage| {
            stage.delete(mailbox.inbox_key(position));
            stage.delete(mailbox.attempts_key(position));
            stage.put(Key::DeadLetter { position }, record);
        });
        inner.last_submitted = ticket;
        inner.restarts = 0;
        self.counters.dead_lettered.fetch_add(1, Ordering::Relaxed);
        if let Some(waiter) = inner.asks.remove(&position) {
            self.release_after(ticket, Effect::Reply(waiter, Outcome::GivenUp(reason.to_owned())));
        }
        if let Ok((header, _)) = Header::decode(envelope)
            && header.keep_reply
        {
            // Without a reply in the store the turn that asked may ask again.
            self.kept_replies.stored(header.id().0);
        }
        ticket
    }

    /// Takes the message in hand out of the mailbox. Returns whether the store holds a record of its failures.
    fn acknowledge(&self, inner: &mut Inner, mailbox: &Mailbox, position: Position) -> bool {
        let (finished, body, recorded) = inner.rules.finished();
        assert_eq!(finished, position, "the message in hand is the one that was handled");
        self.window_bytes.fetch_sub(body.len(), Ordering::Relaxed);
        self.taken_out(mailbox);
        recorded
    }

    fn taken_out(&self, mailbox: &Mailbox) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        if mailbox.has_waiting_senders() {
            mailbox.room.notify_one();
        }
    }
}

/// An error comes from anywhere and may be of any length; its record must not.
fn shortened(mut error: String) -> String {
    if error.len() > ERROR_BYTES_MAX {
        error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
        error.push_str(" ...");
    }
    error
}
