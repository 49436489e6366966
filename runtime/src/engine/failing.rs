//! The end of a turn that failed: the message waits for its next attempt, or goes to the dead letters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Permit, Position};

use crate::base::clock::Steady;
use crate::base::text::{brief, shortened};
use crate::commit::{Added, Left, Postponed, Send, Supervision, SupervisionChange, Transaction};
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::message::address::Address;
use crate::message::delivery::Order;
use crate::message::envelope::Header;
use crate::message::envelope::{Origin, seal};
use crate::message::expiry::Handling;
use crate::message::failure::{Failure, Verdict};
use crate::message::outcome::Outcome;
use crate::message::reason::Reason;
use crate::record::attempts::Failures;
use crate::record::dead_letter::{DeadLetter, DeadLetterRecord};
use crate::shard::dead_letters::Slot;
use crate::shard::{Route, Shard};

/// How many errors of a message are kept.
pub(crate) const ERRORS_MAX: usize = 8;

/// The index from which the id of a notice derives: none that a turn's own messages reach.
const NOTICE_INDEX: u32 = u32::MAX;

/// A message that is given up on.
pub(crate) struct GivingUp<'a> {
    /// Its mailbox.
    pub(crate) route: &'a Route,
    pub(crate) slot: Slot<'a>,
    pub(crate) position: Position,
    /// What the store keeps of it.
    pub(crate) record: Bytes,
    pub(crate) envelope: &'a [u8],
    pub(crate) reason: Reason,
    pub(crate) error: &'a str,
    /// It is not given up on while it is in flight or held.
    pub(crate) must_wait: bool,
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
    /// There is room for its dead letter.
    Buried(Reason, Slot<'a>),
    /// It is tried again, no sooner than then; others may pass it.
    Waits { until: Steady, aside: bool },
}

/// A message in flight, or one that was taken back from its holder, has failed: it waits, or goes to the dead letters.
/// Returns what must be durable for that to count; none when it could not be written down.
pub(crate) async fn fail(
    shard: &Shard,
    mailbox: &Arc<Mailbox>,
    position: Position,
    failure: Failure,
) -> Option<Position> {
    let (body, failures, fate) = decide_fate(shard, mailbox, position, &failure)?;
    if !matches!(failure.verdict, Verdict::Defer { .. }) {
        shard.counters.failed.fetch_add(1, Ordering::Relaxed);
        let reason = if let Fate::Buried(reason, _) = &fate { Some(*reason) } else { None };
        let attempts = (&failures, shard.config.attempts_max);
        log_failure(shard, mailbox, position, &body, attempts, reason, &failure);
    }
    let error = shortened(failure.to_string());
    let route = Route::Local(Arc::clone(mailbox));
    let reserved = match fate {
        Fate::Buried(reason, slot) => {
            let mut slot = Some(slot);
            let giving_up = |failures: &Failures| {
                let record = DeadLetterRecord::encode(reason, failures, shard.clock.now(), &body);
                // Taken anew before the room of a larger record is given back.
                let slot = slot.take().unwrap_or_else(|| shard.dead_letters.slot_in_any_case());
                let (envelope, error) = (&*body, &*error);
                let must_wait = false;
                let giving_up = GivingUp { route: &route, slot, position, record, envelope, reason, error, must_wait };
                giving_up.with_its_effects(Transaction::node(shard))
            };
            reserve_with_texts(&failures, giving_up).await
        }
        Fate::Waits { until, aside } => {
            let postponing = |failures: &Failures| {
                let record = Failures { not_before: until, aside, ..failures.clone() }.encode();
                Transaction::node(shard).with(Postponed { mailbox, position, body: &body, until, aside, record })
            };
            reserve_with_texts(&failures, postponing).await
        }
    };
    match reserved {
        Ok((permit, transaction)) => Some(transaction.commit_in_any_case(permit).ticket),
        Err(error) => {
            could_not_be_written(shard, mailbox, position, &body, &error);
            None
        }
    }
}

/// Room for a transaction with a record of failures; without their texts where it would be too large with them.
pub(crate) async fn reserve_with_texts<'a>(
    failures: &Failures,
    mut make: impl FnMut(&Failures) -> Transaction<'a>,
) -> Result<(Permit<'a>, Transaction<'a>), AdmissionError> {
    let with_texts = make(failures);
    match with_texts.reserve().await {
        Err(AdmissionError::TooLarge { .. }) => {}
        reserved => return Ok((reserved?, with_texts)),
    }
    let without_texts = make(&Failures { errors: Vec::new(), ..failures.clone() });
    Ok((without_texts.reserve().await?, without_texts))
}

/// What became of a message could not be written down: it waits for its next attempt in memory alone.
fn could_not_be_written(
    shard: &Shard,
    mailbox: &Arc<Mailbox>,
    position: Position,
    body: &Bytes,
    error: &AdmissionError,
) {
    if !matches!(error, AdmissionError::TooLarge { .. }) {
        // The store takes nothing any more. Another message may be in flight while one that was held fails.
        let mut inner = mailbox.lock();
        if inner.is_in_flight(position) {
            inner.interrupt();
        }
        return;
    }
    // It must not be tried again and again without a pause.
    tell_of_too_large_a_letter(shard, &mailbox.address, position, error);
    let until = shard.clock.steady().plus(shard.config.backoff.cap);
    let mut inner = mailbox.lock();
    let aside = mailbox.actor_type.order == Order::Skip || inner.rules().has_left_its_queue(position);
    // Where others pass it, it is held no more, as if what it failed of could be written down.
    Postponed { mailbox, position, body, until, aside, record: Bytes::new() }.put_back(&mut inner);
}

impl<'a> GivingUp<'a> {
    /// Moves it to the dead letters; its actor is told in the same commit, if it wants to know.
    pub(crate) fn with_its_effects(self, transaction: Transaction<'a>) -> Transaction<'a> {
        let Self { route, slot, position, record, envelope, reason, error, must_wait } = self;
        let Route::Local(mailbox) = route else { unreachable!("a message in a mailbox of this node") };
        let outcome = match reason {
            Reason::KeyReused => Outcome::KeyReused,
            _ => Outcome::GivenUp(error.to_owned()),
        };
        let mut transaction = transaction.with(Left::new(mailbox, position, envelope, outcome, must_wait));
        if reason.is_failure() {
            transaction.add(Supervision::new(mailbox, SupervisionChange::Failed(error.to_owned())));
        }
        if mailbox.actor_type.handles(DeadLetter::NAME)
            && let Some(notice) = notice_of(&mailbox.address, position, &record)
        {
            transaction.add(Send::new(route, Handling::default(), notice));
        }
        transaction.with(Added::new(slot, position, record, Some(&mailbox.address)))
    }
}

/// A message cannot be given up on, since its dead letter is larger than the store takes: it was stored when the
/// settings allowed more.
pub(crate) fn tell_of_too_large_a_letter(
    shard: &Shard,
    actor: &dyn fmt::Display,
    position: Position,
    error: &AdmissionError,
) {
    if let Some(times) = shard.recurring.met("message cannot be given up on") {
        tracing::error!(
            node = %shard.name, %actor, seq = position.0, %error, times, event = "message cannot be given up on",
            "its dead letter is larger than the store takes, so it stays where it is and is tried again; raise \
             `store.queue_bytes_max`, or the maps"
        );
    }
}

/// A message has expired, and is a dead letter now, as its sender or its actor type wants it.
pub(crate) fn tell_of_expired_letter(shard: &Shard, actor: &dyn fmt::Display, position: Position) {
    if let Some(times) = shard.recurring.met("expired message kept") {
        tracing::warn!(
            node = %shard.name, %actor, seq = position.0, times, event = "expired message kept",
            "it is a dead letter now; replay, edit or delete it"
        );
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
    shard: &Arc<Shard>,
    mailbox: &Arc<Mailbox>,
    position: Position,
    attempt: Option<u32>,
    failure: Failure,
) -> TakenBack {
    if !mailbox.lock().take_back(position, attempt) {
        return TakenBack::Before;
    }
    let (failing_in, mailbox) = (Arc::clone(shard), Arc::clone(mailbox));
    let failing = shard.begin("a message that was taken back", async move {
        let ticket = fail(&failing_in, &mailbox, position, failure).await;
        mailbox.lock().ring(&mailbox);
        ticket
    });
    // It ends without a ticket only with its runtime.
    TakenBack::Now(failing.await.unwrap_or_default())
}

/// Counts the failed attempt, and decides what becomes of the message. None when it is not there any more.
fn decide_fate<'a>(
    shard: &'a Shard,
    mailbox: &Mailbox,
    position: Position,
    failure: &Failure,
) -> Option<(Bytes, Failures, Fate<'a>)> {
    let mut inner = mailbox.lock();
    let body = inner.rules().taken(position)?.clone();
    let aside = mailbox.actor_type.order == Order::Skip || inner.rules().has_left_its_queue(position);
    let error = || shortened(failure.to_string());
    let waits = |failures: &Failures, after: Option<_>| {
        let delay = after.unwrap_or_else(|| shard.config.backoff.delay(failures.attempts, rand::random()));
        Fate::Waits { until: shard.clock.steady().plus(delay), aside }
    };
    // Others pass it where there is no room: they need none among the dead letters.
    let given_up = |reason: Reason| match shard.dead_letters.slot() {
        Some(slot) => Fate::Buried(reason, slot),
        None => {
            tracing::debug!(
                node = %shard.name, actor = %mailbox.address, seq = position.0, ?reason,
                event = "no room for a dead letter",
                "it stays in its mailbox, where others pass it, and is tried again"
            );
            Fate::Waits { until: shard.clock.steady().plus(shard.config.backoff.cap), aside: true }
        }
    };
    let (failures, fate) = match failure.verdict {
        Verdict::Defer { delay } => {
            let failures = inner.rules().failures(position).cloned().unwrap_or_default();
            (failures, Fate::Waits { until: shard.clock.steady().plus(delay), aside: true })
        }
        Verdict::Condemn(reason) => (inner.condemn(position, error(), ERRORS_MAX), given_up(reason)),
        Verdict::Reject => (inner.count_failure(position, error(), ERRORS_MAX), given_up(Reason::Rejected)),
        Verdict::Retry { after } => {
            let failures = inner.count_failure(position, error(), ERRORS_MAX);
            let is_spent = failures.attempts >= shard.config.attempts_max;
            let fate = if is_spent { given_up(Reason::AttemptsSpent) } else { waits(&failures, after) };
            (failures, fate)
        }
    };
    Some((body, failures, fate))
}

/// The message that tells an actor of the dead letter in a record; none of one that was such a message itself.
pub(crate) fn notice_of(address: &Address, position: Position, record: &[u8]) -> Option<Bytes> {
    let dead_letter =
        DeadLetter::decode(position, record).filter(|dead_letter| dead_letter.message != DeadLetter::NAME)?;
    let id = dead_letter.id.derive(NOTICE_INDEX);
    let origin = Origin { trace: Some(dead_letter.trace), ..Origin::plain(id, dead_letter.died_at) };
    seal(address.as_str(), origin, &dead_letter).ok()
}

/// A message has failed that will be tried again, or is given up on for `reason`. One failure is nothing unusual: it is
/// a warning when half of the attempts are spent.
fn log_failure(
    shard: &Shard,
    mailbox: &Mailbox,
    position: Position,
    envelope: &[u8],
    (failures, attempts_max): (&Failures, u32),
    reason: Option<Reason>,
    error: &Failure,
) {
    let header = Header::decode(envelope).ok().map(|(header, _)| header);
    let message_id = header.map(|header| header.id()).map_or_else(String::new, |id| id.to_string());
    let trace = header.map(|header| header.trace()).map_or_else(String::new, |id| id.to_string());
    let (node, actor, seq, attempt) = (&shard.name, &mailbox.address, position.0, failures.attempts);
    match reason {
        Some(reason) => {
            if let Some(times) = shard.of_actors.dead_letters.met(mailbox.id()) {
                tracing::error!(
                    %node, %actor, message_id, seq, attempt, trace, ?reason, error = %brief(error), times,
                    event = "dead letter",
                    "it was given up on; replay it when the cause is mended, or delete it"
                );
            }
        }
        None if attempt >= attempts_max.div_ceil(2) => {
            if let Some(times) = shard.of_actors.failures.met(mailbox.id()) {
                tracing::warn!(
                    %node, %actor, message_id, seq, attempt, attempts_max, trace, error = %brief(error), times,
                    event = "handler failed",
                    "it is tried again; half of its attempts are spent"
                );
            }
        }
        None => {
            tracing::debug!(
                %node, %actor, message_id, seq, attempt, attempts_max, trace, error = %brief(error),
                event = "handler failed",
                "it is tried again"
            );
        }
    }
}
