//! The end of a turn that failed: the message goes back to the head of its mailbox, or to the dead letters.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Class, Key, Permit, Position};

use super::{Core, Effect};
use crate::clock::Micros;
use crate::dead_letters::{DeadLetterRecord, Reason};
use crate::envelope::Header;
use crate::failure::{Failure, Verdict};
use crate::mailbox::{Failures, Mailbox};
use crate::telemetry;
use crate::waiter::Outcome;

/// How many errors of a message are kept.
const ERRORS_MAX: usize = 8;
/// How many bytes of each.
const ERROR_BYTES_MAX: usize = 4096;

impl Core {
    /// The message in hand has failed: back to the head of its mailbox, or to the dead letters.
    pub(crate) async fn fail(&self, mailbox: &Arc<Mailbox>, failure: Failure) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        let Some((position, body, failures)) = self.count_failure(mailbox, &failure) else {
            return;
        };
        let reason = match failure.verdict {
            Verdict::Reject => Some(Reason::Rejected),
            Verdict::Retry { .. } if failures.attempts >= self.config.attempts_max => Some(Reason::AttemptsSpent),
            Verdict::Retry { .. } => None,
        };
        telemetry::log_failure(&self.name, mailbox, position, &body, &failures, reason, &failure);
        let encode = |failures: &Failures| match reason {
            Some(reason) => DeadLetterRecord::encode(reason, failures, &body),
            None => failures.encode(),
        };
        let Some((permit, record)) = self.reserve_record(&failures, encode).await else {
            // The message waits for its next attempt, as if this one could not be written down: it cannot.
            mailbox.lock().rules.interrupted();
            return;
        };
        match reason {
            Some(_) => drop(self.bury(mailbox, permit, position, record, &body, &shortened(failure.to_string()))),
            None => self.put_back(mailbox, permit, position, record),
        }
    }

    /// Counts the failed attempt of the message in hand, and decides when it may be tried again.
    fn count_failure(&self, mailbox: &Mailbox, failure: &Failure) -> Option<(Position, Bytes, Failures)> {
        let mut inner = mailbox.lock();
        let (position, body) = inner.rules.in_hand().map(|(position, body)| (position, body.clone()))?;
        let failures = inner.rules.failed(shortened(failure.to_string()), ERRORS_MAX);
        let delay = match failure.verdict {
            Verdict::Retry { after: Some(delay) } => delay,
            Verdict::Retry { after: None } | Verdict::Reject => {
                self.config.backoff.delay(failures.attempts, rand::random())
            }
        };
        failures.not_before = Micros::now().plus(delay);
        Some((position, body, failures.clone()))
    }

    /// Room for a record of failures; without their texts where it would be too large with them. None when the store takes
    /// nothing any more, or never this much.
    async fn reserve_record(
        &self,
        failures: &Failures,
        encode: impl Fn(&Failures) -> Bytes,
    ) -> Option<(Permit<'_>, Bytes)> {
        let record = encode(failures);
        match self.store.reserve(Class::Turn { grows: true }, record.len()).await {
            Ok(permit) => return Some((permit, record)),
            Err(AdmissionError::TooLarge { .. }) => {}
            Err(_) => return None,
        }
        let record = encode(&Failures { errors: Vec::new(), ..failures.clone() });
        let permit = self.store.reserve(Class::Turn { grows: true }, record.len()).await.ok()?;
        Some((permit, record))
    }

    fn put_back(&self, mailbox: &Mailbox, permit: Permit<'_>, position: Position, record: Bytes) {
        let mut inner = mailbox.lock();
        inner.rules.interrupted();
        let (ticket, ()) = self.store.submit(permit, |stage| stage.put(mailbox.attempts_key(position), record));
        inner.last_submitted = ticket;
    }

    /// Moves a message to the dead letters, in one commit. Returns its ticket.
    pub(crate) fn bury(
        &self,
        mailbox: &Mailbox,
        permit: Permit<'_>,
        position: Position,
        record: Bytes,
        envelope: &[u8],
        reason: &str,
    ) -> Position {
        let mut inner = mailbox.lock();
        if let Some(body) = inner.rules.discard(position) {
            self.load.window_bytes.fetch_sub(body.len(), Ordering::Relaxed);
        }
        self.taken_out(&mut inner, mailbox);
        let (ticket, ()) = self.store.submit(permit, |stage| {
            stage.delete(mailbox.inbox_key(position));
            stage.delete(mailbox.attempts_key(position));
            stage.put(Key::DeadLetter { position }, record);
        });
        inner.last_submitted = ticket;
        inner.restarts = 0;
        self.counters.dead_lettered.fetch_add(1, Ordering::Relaxed);
        if let Some(waiter) = inner.asks.remove(&position) {
            self.release_after(ticket, Effect::Tell(waiter, Outcome::GivenUp(reason.to_owned())));
        }
        if let Ok((header, _)) = Header::decode(envelope)
            && header.keep_reply
        {
            // Without a reply in the store the turn that asked may ask again.
            self.kept_replies.stored(header.id().0);
        }
        ticket
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
