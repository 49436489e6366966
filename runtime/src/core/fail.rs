//! The end of a turn that failed: the message waits for its next attempt, or goes to the dead letters.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Class, Key, Permit, Position};

use super::{Core, Effect};
use crate::actor::Order;
use crate::clock::Micros;
use crate::dead_letters::{DeadLetterRecord, Reason};
use crate::envelope::Header;
use crate::failure::{Failure, Verdict};
use crate::mailbox::{Failures, Inner, Mailbox};
use crate::telemetry;
use crate::waiter::Outcome;

/// How many errors of a message are kept.
const ERRORS_MAX: usize = 8;
/// How many bytes of each.
const ERROR_BYTES_MAX: usize = 4096;

/// What becomes of a message that failed.
enum Fate {
    Buried(Reason),
    /// It is tried again, no sooner than then; others may pass it.
    Waits {
        until: Micros,
        aside: bool,
    },
}

impl Core {
    /// A message in hand, or one that was taken back from its holder, has failed: it waits, or goes to the dead letters.
    pub(crate) async fn fail(&self, mailbox: &Arc<Mailbox>, position: Position, failure: Failure) {
        let Some((body, failures, fate)) = self.decide_fate(mailbox, position, &failure) else {
            return;
        };
        if !matches!(failure.verdict, Verdict::Defer { .. }) {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            let reason = if let Fate::Buried(reason) = fate { Some(reason) } else { None };
            telemetry::log_failure(&self.name, mailbox, position, &body, &failures, reason, &failure);
        }
        let encode = |failures: &Failures| match fate {
            Fate::Buried(reason) => DeadLetterRecord::encode(reason, failures, &body),
            Fate::Waits { until, aside } => Failures { not_before: until, aside, ..failures.clone() }.encode(),
        };
        let Some((permit, record)) = self.reserve_record(&failures, encode).await else {
            // The message waits for its next attempt, as if this one could not be written down: it cannot.
            mailbox.lock().rules.interrupted();
            return;
        };
        match fate {
            Fate::Buried(_) => {
                drop(self.bury(mailbox, permit, position, record, &body, &shortened(failure.to_string())))
            }
            Fate::Waits { until, aside } => {
                let mut inner = mailbox.lock();
                if aside {
                    inner.rules.set_aside(position, until)
                } else {
                    inner.rules.put_back(position, until)
                }
                let (ticket, ()) = self.store.submit(permit, |stage| stage.put(mailbox.attempts_key(position), record));
                inner.last_submitted = ticket;
            }
        }
    }

    /// Takes a message back from its holder, who has failed: did not acknowledge it in time, gave it back, or lost it. Only
    /// from the delivery `attempt`, if one is named. False when it was decided on before.
    pub(crate) async fn take_back(
        &self,
        mailbox: &Arc<Mailbox>,
        position: Position,
        attempt: Option<u32>,
        failure: Failure,
    ) -> bool {
        let taken = mailbox.lock().rules.take_back(position, attempt).is_some();
        if taken {
            self.fail(mailbox, position, failure).await;
            mailbox.lock().ring(mailbox);
        }
        taken
    }

    /// Counts the failed attempt, and decides what becomes of the message. None when it is not there any more.
    fn decide_fate(&self, mailbox: &Mailbox, position: Position, failure: &Failure) -> Option<(Bytes, Failures, Fate)> {
        let mut inner = mailbox.lock();
        let body = inner.rules.taken(position)?.clone();
        let aside = mailbox.kind.order == Order::Skip || inner.rules.has_left_its_queue(position);
        let error = || shortened(failure.to_string());
        let waits = |failures: &Failures, after: Option<_>| {
            let delay = after.unwrap_or_else(|| self.config.backoff.delay(failures.attempts, rand::random()));
            Fate::Waits { until: Micros::now().plus(delay), aside }
        };
        let (failures, fate) = match failure.verdict {
            Verdict::Defer { delay } => {
                let failures = inner.rules.failures(position).cloned().unwrap_or_default();
                (failures, Fate::Waits { until: Micros::now().plus(delay), aside: true })
            }
            Verdict::Condemn(reason) => {
                (inner.rules.condemned(position, error(), ERRORS_MAX).clone(), Fate::Buried(reason))
            }
            Verdict::Reject => {
                (inner.rules.failed(position, error(), ERRORS_MAX).clone(), Fate::Buried(Reason::Rejected))
            }
            Verdict::Retry { after } => {
                let failures = inner.rules.failed(position, error(), ERRORS_MAX).clone();
                let is_spent = failures.attempts >= self.config.attempts_max;
                let fate = if is_spent { Fate::Buried(Reason::AttemptsSpent) } else { waits(&failures, after) };
                (failures, fate)
            }
        };
        Some((body, failures, fate))
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
        self.discard(&mut inner, mailbox, position);
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

    /// Takes a message out of its mailbox, wherever it is there.
    pub(super) fn discard(&self, inner: &mut Inner, mailbox: &Mailbox, position: Position) {
        if let Some(body) = inner.rules.discard(position) {
            self.load.window_bytes.fetch_sub(body.len(), Ordering::Relaxed);
        }
        self.taken_out(inner, mailbox);
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
