//! The task that lets messages leave when they expire.

use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::{AdmissionError, MailboxId, Position};
use rustc_hash::FxHashMap;

use crate::cluster::expiring::{Expiring, Waits};
use crate::commit::{Expired, Refused, Transaction};
use crate::engine::failing::{ERRORS_MAX, GivingUp, tell_of_expired_letter, tell_of_too_large_a_letter};
use crate::engine::outbox_expiry::expire_in_outbox;
use crate::mailbox::Mailbox;
use crate::message::expiry::{EXPIRED, Expiry};
use crate::message::reason::Reason;
use crate::record::attempts::Failures;
use crate::record::dead_letter::DeadLetterRecord;
use crate::shard::expiring::look_again;
use crate::shard::{Route, Shard};

/// How many messages leave in one step at most.
const AT_A_TIME: usize = 1024;
/// The longest sleep: a machine that was suspended has not counted it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Lets messages leave when they expire, for as long as the node runs.
pub(crate) async fn expire_messages(shard: Arc<Shard>) {
    loop {
        let earlier = shard.expiries.earlier.notified();
        let now = shard.clock.steady();
        match shard.expiries.next() {
            Some(moment) if moment <= now => {
                let mut due = TakenOut { shard: &shard, due: shard.expiries.take_due(now, AT_A_TIME) };
                if expire(&shard, due.due.clone()).await.is_none() {
                    return;
                }
                due.due.clear();
                // There may be many more, and nothing to wait for.
                tokio::task::yield_now().await;
            }
            Some(moment) => {
                let wait = moment.since(now).min(LOOK_EVERY);
                // Whichever comes first.
                let _ = tokio::time::timeout(wait, earlier).await;
            }
            None => earlier.await,
        }
    }
}

/// Messages that were taken out of the index. Should they not have been dealt with by then, they are looked at again:
/// nobody else would.
struct TakenOut<'a> {
    shard: &'a Shard,
    due: Vec<Expiring>,
}

impl Drop for TakenOut<'_> {
    fn drop(&mut self) {
        look_again(self.shard, std::mem::take(&mut self.due));
    }
}

/// Lets these leave. None when the store takes nothing any more.
async fn expire(shard: &Arc<Shard>, due: Vec<Expiring>) -> Option<()> {
    let mut dropped = FxHashMap::<_, Vec<Expiring>>::default();
    let mut outward = Vec::new();
    for expiring in due {
        match (&expiring.place, expiring.then) {
            (Waits::Outbox(..), _) => outward.push(expiring),
            (Waits::Mailbox(mailbox), Expiry::Drop) => dropped.entry(*mailbox).or_default().push(expiring),
            (Waits::Mailbox(mailbox), Expiry::DeadLetter) => to_dead_letters(shard, *mailbox, expiring).await?,
        }
    }
    for (mailbox, expired) in dropped {
        // Without a mailbox in memory nothing waits there.
        if let Some(mailbox) = shard.directory.find(mailbox) {
            let transaction = Transaction::upkeep(shard).with(Expired::waiting(&mailbox, expired));
            let permit = transaction.reserve().await.ok()?;
            // They may all be done by now, or in flight.
            let _ = transaction.commit(permit);
        }
    }
    expire_in_outbox(shard, outward).await
}

/// Moves one to the dead letters. None when the store takes nothing any more.
async fn to_dead_letters(shard: &Arc<Shard>, mailbox: MailboxId, expiring: Expiring) -> Option<()> {
    let position = expiring.position;
    let Some(mailbox) = shard.directory.find(mailbox) else { return Some(()) };
    let later = || look_again(shard, [expiring.clone()]);
    let Some(slot) = shard.dead_letters.slot() else {
        later();
        return Some(());
    };
    // Its body is in the store from then on, wherever it is in memory.
    shard.gate.durable(position).await.ok()?;
    let envelope = match shard.store.read(mailbox.inbox_key(position)).await {
        Ok(Some(envelope)) => envelope,
        // It was finished meanwhile.
        Ok(None) => return Some(()),
        Err(error) => {
            if let Some(times) = shard.recurring.met("expired message not read") {
                tracing::error!(
                    node = %shard.name, actor = %mailbox.address, seq = position.0, %error, times,
                    event = "expired message not read",
                    "it stays where it is and is tried again; it is not handled"
                );
            }
            later();
            return Some(());
        }
    };
    let failures = condemned(&mailbox, position);
    let record = DeadLetterRecord::encode(Reason::Expired, &failures, shard.clock.now(), &envelope);
    let route = Route::Local(Arc::clone(&mailbox));
    let (envelope, reason, error, must_wait) = (&*envelope, Reason::Expired, EXPIRED, true);
    let giving_up = GivingUp { route: &route, slot, position, record, envelope, reason, error, must_wait };
    let transaction = giving_up.with_its_effects(Transaction::node(shard));
    let permit = match transaction.reserve().await {
        Ok(permit) => permit,
        Err(error) => {
            if matches!(error, AdmissionError::TooLarge { .. }) {
                tell_of_too_large_a_letter(shard, &mailbox.address, position, &error);
            }
            later();
            return shard.store.failure().is_none().then_some(());
        }
    };
    match transaction.commit(permit) {
        Ok(_) => {
            // Before anything is told: a log that panics leaves nobody out.
            mailbox.lock().ring(&mailbox);
            tell_of_expired_letter(shard, &mailbox.address, position);
        }
        Err(Refused::Taken) => later(),
        Err(_) => {}
    }
    Some(())
}

/// What is known of a message, and that its time is over.
fn condemned(mailbox: &Mailbox, position: Position) -> Failures {
    let mut failures = mailbox.lock().rules().failures(position).cloned().unwrap_or_default();
    failures.note(EXPIRED.to_owned(), ERRORS_MAX);
    failures
}
