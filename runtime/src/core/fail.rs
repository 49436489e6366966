//! The end of a turn that failed: the message waits for its next attempt, or goes to the dead letters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Permit, Position};

use super::outlive::Outlived;
use super::{Core, Effect};
use crate::actor::Order;
use crate::actor::failure::{Failure, Verdict};
use crate::api::ask::KeptReply;
use crate::base::clock::Steady;
use crate::dead_letters::{DeadLetter, DeadLetterRecord, Reason, Slot, known_of};
use crate::expiry::Handling;
use crate::growth;
use crate::mailbox::waiter::Outcome;
use crate::mailbox::{Failures, Inner, Mailbox};
use crate::message::Message;
use crate::message::address::Address;
use crate::message::envelope::{Header, Origin, seal};
use crate::tables;
use crate::telemetry;

/// How many errors of a message are kept.
pub(crate) const ERRORS_MAX: usize = 8;
/// How many bytes of each.
const ERROR_BYTES_MAX: usize = 4096;

/// The index from which the id of a notice derives: none that a turn's own messages reach.
const NOTICE_INDEX: u32 = u32::MAX;

/// A message that is given up on.
pub(crate) struct Burial<'a> {
    pub(crate) slot: Slot<'a>,
    pub(crate) position: Position,
    /// What the store keeps of it.
    pub(crate) record: Bytes,
    pub(crate) envelope: &'a [u8],
    pub(crate) reason: Reason,
    pub(crate) error: String,
}

/// What became of a message that was to be taken back.
pub(crate) enum TakenBack {
    /// It was decided on before.
    Before,
    /// It was taken back, which counts when this is durable; none when it could not be written down.
    Now(Option<Position>),
}

/// What becomes of a message that failed.
enum Fate<'a> {
    /// There is room for its letter.
    Buried(Reason, Slot<'a>),
    /// It is tried again, no sooner than then; others may pass it.
    Waits { until: Steady, aside: bool },
}

impl Core {
    /// A message in hand, or one that was taken back from its holder, has failed: it waits, or goes to the dead letters.
    /// Returns what must be durable for that to count; none when it could not be written down.
    pub(crate) async fn fail(&self, mailbox: &Arc<Mailbox>, position: Position, failure: Failure) -> Option<Position> {
        let (body, failures, fate) = self.decide_fate(mailbox, position, &failure)?;
        if !matches!(failure.verdict, Verdict::Defer { .. }) {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            let reason = if let Fate::Buried(reason, _) = &fate { Some(*reason) } else { None };
            telemetry::log_failure(
                self,
                mailbox,
                position,
                &body,
                (&failures, self.config.attempts_max),
                reason,
                &failure,
            );
        }
        let encode = |failures: &Failures| match fate {
            Fate::Buried(reason, _) => DeadLetterRecord::encode(reason, failures, self.clock.now(), &body),
            Fate::Waits { until, aside } => Failures { not_before: until, aside, ..failures.clone() }.encode(),
        };
        let notice = |record: &Bytes| match fate {
            Fate::Buried(..) => self.notice(mailbox, position, record).map(|notice| notice.len()),
            Fate::Waits { .. } => None,
        };
        let removed = matches!(fate, Fate::Buried(..)).then_some(body.len());
        let (permit, record) = match self.reserve_record(&failures, removed, encode, notice).await {
            Ok(reserved) => reserved,
            Err(error @ AdmissionError::TooLarge { .. }) => {
                // It must not be tried again and again without a pause.
                self.tell_of_too_large_a_letter(&mailbox.address, position, &error);
                let (until, mut inner) = (self.clock.steady().plus(self.config.backoff.cap), mailbox.lock());
                if mailbox.kind.order == Order::Skip || inner.rules.has_left_its_queue(position) {
                    inner.rules.set_aside(position, until);
                    // It is held no more, as if what it failed of could be written down.
                    inner.release_key(&body);
                } else {
                    inner.rules.postpone(position, until);
                }
                return None;
            }
            Err(_) => {
                // The message waits for its next attempt, as if this one could not be written down: it cannot. Another may be
                // in hand while one that was held fails.
                let mut inner = mailbox.lock();
                if inner.rules.in_hand().is_some_and(|(in_hand, _)| in_hand == position) {
                    inner.rules.interrupted();
                }
                return None;
            }
        };
        match fate {
            Fate::Buried(reason, slot) => {
                let error = shortened(failure.to_string());
                Some(self.bury(mailbox, permit, Burial { slot, position, record, envelope: &body, reason, error }))
            }
            Fate::Waits { until, aside } => {
                let mut inner = mailbox.lock();
                if aside {
                    inner.rules.set_aside(position, until);
                    inner.release_key(&body);
                } else {
                    inner.rules.postpone(position, until);
                }
                let (ticket, ()) = self.store.submit(permit, |stage| stage.put(mailbox.attempts_key(position), record));
                inner.last_submitted = ticket;
                Some(ticket)
            }
        }
    }

    /// A message cannot be given up on, since its dead letter is larger than the store takes: it was stored when the settings
    /// allowed more.
    pub(crate) fn tell_of_too_large_a_letter(
        &self,
        actor: &dyn fmt::Display,
        position: Position,
        error: &AdmissionError,
    ) {
        if let Some(times) = self.recurring.met("message cannot be given up on") {
            tracing::error!(node = %self.name, %actor, seq = position.0, %error, times, event = "message cannot be given up on", "its dead letter is larger than the store takes, so it stays where it is and is tried again; raise `store.queue_bytes_max`, or the maps");
        }
    }

    /// A message has expired, and is a dead letter now, as its sender or its actor type wants it.
    pub(crate) fn tell_of_expired_letter(&self, actor: &dyn fmt::Display, position: Position) {
        if let Some(times) = self.recurring.met("expired message kept") {
            tracing::warn!(node = %self.name, %actor, seq = position.0, times, event = "expired message kept", "it is a dead letter now; replay, edit or drop it");
        }
    }

    /// Takes a message back from its holder, who has failed: did not acknowledge it in time, gave it back, or lost it. Only
    /// from the delivery `attempt`, if one is named.
    ///
    /// # Cancel safety
    ///
    /// Once it was taken back, what is to become of it is written down whether or not anybody waits for that: it would be
    /// held by nobody otherwise.
    pub(crate) async fn take_back(
        self: &Arc<Self>,
        mailbox: &Arc<Mailbox>,
        position: Position,
        attempt: Option<u32>,
        failure: Failure,
    ) -> TakenBack {
        if mailbox.lock().rules.take_back(position, attempt).is_none() {
            return TakenBack::Before;
        }
        let (core, mailbox) = (Arc::clone(self), Arc::clone(mailbox));
        let failing = self.begin("a message that was taken back", async move {
            let ticket = core.fail(&mailbox, position, failure).await;
            mailbox.lock().ring(&mailbox);
            ticket
        });
        // It ends without a ticket only with its runtime.
        TakenBack::Now(failing.await.unwrap_or_default())
    }

    /// Counts the failed attempt, and decides what becomes of the message. None when it is not there any more.
    fn decide_fate(
        &self,
        mailbox: &Mailbox,
        position: Position,
        failure: &Failure,
    ) -> Option<(Bytes, Failures, Fate<'_>)> {
        let mut inner = mailbox.lock();
        let body = inner.rules.taken(position)?.clone();
        let aside = mailbox.kind.order == Order::Skip || inner.rules.has_left_its_queue(position);
        let error = || shortened(failure.to_string());
        let waits = |failures: &Failures, after: Option<_>| {
            let delay = after.unwrap_or_else(|| self.config.backoff.delay(failures.attempts, rand::random()));
            Fate::Waits { until: self.clock.steady().plus(delay), aside }
        };
        // Others pass it where there is no room: they need none among the dead letters.
        let buried = |reason: Reason| match self.shelf.slot() {
            Some(slot) => Fate::Buried(reason, slot),
            None => {
                tracing::debug!(node = %self.name, actor = %mailbox.address, seq = position.0, ?reason, event = "no room for a dead letter", "it stays in its mailbox, where others pass it, and is tried again");
                Fate::Waits { until: self.clock.steady().plus(self.config.backoff.cap), aside: true }
            }
        };
        let (failures, fate) = match failure.verdict {
            Verdict::Defer { delay } => {
                let failures = inner.rules.failures(position).cloned().unwrap_or_default();
                (failures, Fate::Waits { until: self.clock.steady().plus(delay), aside: true })
            }
            Verdict::Condemn(reason) => (inner.rules.condemned(position, error(), ERRORS_MAX).clone(), buried(reason)),
            Verdict::Reject => (inner.rules.failed(position, error(), ERRORS_MAX).clone(), buried(Reason::Rejected)),
            Verdict::Retry { after } => {
                let failures = inner.rules.failed(position, error(), ERRORS_MAX).clone();
                let is_spent = failures.attempts >= self.config.attempts_max;
                let fate = if is_spent { buried(Reason::AttemptsSpent) } else { waits(&failures, after) };
                (failures, fate)
            }
        };
        Some((body, failures, fate))
    }

    /// Room for a record of failures and the notice of it, in the place of what is `removed`; without the texts where it would be too
    /// large with them.
    async fn reserve_record(
        &self,
        failures: &Failures,
        removed: Option<usize>,
        encode: impl Fn(&Failures) -> Bytes,
        notice: impl Fn(&Bytes) -> Option<usize>,
    ) -> Result<(Permit<'_>, Bytes), AdmissionError> {
        let room = async |record: &Bytes| {
            let notice = notice(record);
            let class = growth::turn([record.len()].into_iter().chain(notice), removed);
            self.store.reserve(class, record.len() + notice.unwrap_or(0)).await
        };
        let record = encode(failures);
        match room(&record).await {
            Err(AdmissionError::TooLarge { .. }) => {}
            reserved => return Ok((reserved?, record)),
        }
        let record = encode(&Failures { errors: Vec::new(), ..failures.clone() });
        Ok((room(&record).await?, record))
    }

    /// Moves a message to the dead letters, in one commit; its actor is told in the same one, if it wants to know. Returns its
    /// ticket.
    pub(crate) fn bury(&self, mailbox: &Arc<Mailbox>, permit: Permit<'_>, burial: Burial<'_>) -> Position {
        self.bury_locked(&mut mailbox.lock(), mailbox, permit, burial)
    }

    pub(crate) fn bury_locked(
        &self,
        inner: &mut Inner,
        mailbox: &Arc<Mailbox>,
        permit: Permit<'_>,
        burial: Burial<'_>,
    ) -> Position {
        let Burial { slot, position, record, envelope, reason, error } = burial;
        let question =
            Header::decode(envelope).ok().filter(|(header, _)| header.keep_reply).map(|(header, _)| header.id());
        if mailbox.asking.is_any()
            && let Ok((header, _)) = Header::decode(envelope)
        {
            self.asked.buried(mailbox, header.id());
        }
        self.discard(inner, mailbox, position, envelope.len());
        inner.remove_key(envelope);
        let notice = self.notice(mailbox, position, &record);
        self.add_waiting(usize::from(notice.is_some()));
        let counted = reason.is_failure().then(|| self.count_against_budget(inner, mailbox, &error));
        let known = known_of(&record);
        let mut letters = self.shelf.letters();
        let mut replies = self.kept_replies.in_step();
        let (note, over) = match question.and_then(|id| Some((id, replies.take(id)?))) {
            // The turn that asked is over, and has left it to whoever ends the question to delete what says that it was
            // asked.
            Some((id, KeptReply::Abandoned(note))) => (note, self.outlive_gone(&mut replies, mailbox.id(), id)),
            _ => (None, Outlived::default()),
        };
        let oldest = letters.to_make_room();
        let mut outlived = self.outlive_letters(&letters, &mut replies, oldest.as_slice());
        outlived.add(over);
        let (ticket, noticed) = self.store.submit(permit, |stage| {
            stage.delete(mailbox.inbox_key(position));
            stage.delete(mailbox.attempts_key(position));
            stage.put(tables::dead_letter(position), record);
            if let Some(position) = oldest {
                stage.delete(tables::dead_letter(position));
            }
            outlived.stage(stage);
            if let Some(note) = note {
                stage.delete(note);
            }
            if let Some((key, record)) = counted {
                stage.put(key, record);
            }
            notice.clone().map(|notice| stage.enqueue(&tables::INBOX, mailbox.partition, notice))
        });
        letters.added(slot, position, known, ticket);
        if let Some(oldest) = oldest {
            letters.dropped(oldest, ticket);
        }
        drop((letters, replies));
        self.outlived(outlived, ticket);
        inner.last_submitted = ticket;
        inner.restarts = 0;
        self.counters.dead_lettered.fetch_add(1, Ordering::Relaxed);
        self.shelf.warn(&self.name);
        if oldest.is_some() {
            self.shelf.alarm_dropped(&self.name, &mailbox.address);
        }
        if let Some(waiter) = inner.asks.take(position) {
            let outcome = if reason == Reason::KeyReused { Outcome::KeyReused } else { Outcome::GivenUp(error) };
            self.release_after(ticket, Effect::Tell(waiter, outcome));
        }
        if let Some(question) = question {
            // Without a reply in the store the turn that asked may ask again.
            self.asked.given_up(question);
        }
        if let Ok((header, _)) = Header::decode(envelope)
            && let Some(expires) = header.expires()
        {
            self.expiries.remove(expires.at, position);
        }
        if let Some((position, notice)) = noticed.zip(notice) {
            self.place(inner, mailbox, position, Handling::default(), notice);
        }
        ticket
    }

    /// The message that tells an actor of a dead letter of its own, if it is one that wants to know.
    pub(crate) fn notice(&self, mailbox: &Mailbox, position: Position, record: &[u8]) -> Option<Bytes> {
        if mailbox.kind.handles(DeadLetter::NAME) { notice_of(&mailbox.address, position, record) } else { None }
    }

    /// Takes a message of this size out of its mailbox, wherever it is there.
    pub(super) fn discard(&self, inner: &mut Inner, mailbox: &Mailbox, position: Position, bytes: usize) {
        if inner.rules.discard(position).is_some() {
            self.load.window_bytes.take(bytes);
        } else {
            self.load.beyond_bytes.take(bytes);
        }
        self.taken_out(inner, mailbox, bytes);
    }
}

/// The message that tells an actor of the dead letter in a record; none of one that was such a message itself.
pub(crate) fn notice_of(address: &Address, position: Position, record: &[u8]) -> Option<Bytes> {
    let letter = DeadLetter::decode(position, record).filter(|letter| letter.message != DeadLetter::NAME)?;
    let id = letter.id.derive(NOTICE_INDEX);
    let origin = Origin { trace: Some(letter.trace), ..Origin::plain(id, letter.died_at) };
    seal(address.as_str(), origin, &letter).ok()
}

/// An error comes from anywhere and may be of any length; its record must not.
pub(crate) fn shortened(mut error: String) -> String {
    if error.len() > ERROR_BYTES_MAX {
        error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
        error.push_str(" ...");
    }
    error
}
