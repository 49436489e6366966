//! Quarantine after an unclean end: the messages that were in hand when the process died are run alone, one after
//! another, before anything else runs, so that a message that kills the process is found and its neighbours are not
//! blamed. Only a death while alone counts as an attempt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use everpost_persistence::{Class, MailboxId, Position};

use crate::core::{Burial, Core};
use crate::dead_letters::{DeadLetterRecord, Reason};
use crate::gate::NodeEnded;
use crate::mailbox::{Failures, Mailbox};

/// Who may run while suspects are being cleared.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    active: AtomicBool,
    /// Mailboxes that may run, each up to this message.
    admitted: Mutex<Vec<(MailboxId, Position)>>,
}

/// A message that was in hand when the process died.
#[derive(Debug)]
pub(crate) struct Suspect {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) position: Position,
    /// What the store knows of it.
    pub(crate) failures: Failures,
    /// It was in hand at the last death; otherwise it waits for its trial since an earlier one.
    pub(crate) in_hand: bool,
}

impl Quarantine {
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether this message may run now: the suspect on trial, what is before it in its mailbox, and what it asks. In a
    /// mailbox that is not in the order of positions, what came later may be before the suspect.
    pub(crate) fn admits(&self, mailbox: MailboxId, position: Position, is_reordered: bool) -> bool {
        let admits = |(admitted, last): &(_, _)| *admitted == mailbox && (is_reordered || position <= *last);
        self.admitted().iter().any(admits)
    }

    /// The suspect on trial asks another actor: that question is part of its trial.
    pub(crate) fn admit(&self, mailbox: MailboxId, position: Position) {
        if self.is_active() {
            self.admitted().push((mailbox, position));
        }
    }

    fn begin(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.admitted().clear();
        self.active.store(false, Ordering::Relaxed);
    }

    fn admitted(&self) -> MutexGuard<'_, Vec<(MailboxId, Position)>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the deaths, gives up on messages that the process has died of too often, and marks the others, durably. From
/// here on nothing runs but what [`try_alone`] admits. To be called before anything runs.
pub(crate) async fn single_out(
    core: &Core,
    suspects: Vec<Suspect>,
) -> Result<Vec<(Arc<Mailbox>, Position)>, NodeEnded> {
    core.quarantine.begin();
    let mut remaining = Vec::new();
    let mut ticket = Position(0);
    for Suspect { mailbox, position, mut failures, in_hand } in suspects {
        if in_hand && failures.alone {
            failures.attempts += 1;
            failures.errors.push("the process died while this message ran alone".to_owned());
        }
        failures.alone = true;
        ticket = if failures.attempts < core.config.attempts_max {
            let record = failures.encode();
            let Some(ticket) = submit_attempts(core, &mailbox, position, record).await else { break };
            mailbox.lock().rules.single_out(position, failures);
            remaining.push((mailbox, position));
            ticket
        } else {
            let Some(ticket) = give_up(core, &mailbox, position, &failures).await else { break };
            ticket
        };
    }
    core.gate.durable(ticket).await?;
    Ok(remaining)
}

/// Runs each suspect alone, then lets everything run.
pub(crate) async fn try_alone(core: &Core, suspects: Vec<(Arc<Mailbox>, Position)>) -> Result<(), NodeEnded> {
    for (mailbox, position) in suspects {
        tracing::info!(node = %core.name, actor = %mailbox.address, seq = position.0, event = "trial", "it was in hand when the process died, and runs alone");
        *core.quarantine.admitted() = vec![(mailbox.id(), position)];
        mailbox.lock().ring(&mailbox);
        // Its last turn, or its failure, is durable before the next suspect runs.
        let settled = || {
            let inner = mailbox.lock();
            mailbox.is_paused(&inner) || inner.is_settled(position, core.clock.steady(), core.store.durable())
        };
        core.gate.until(settled).await?;
        acquit(core, &mailbox, position).await?;
    }
    core.quarantine.end();
    core.gate.look_again();
    Ok(())
}

/// Takes the mark off a suspect that could not have its trial, durably before anything runs beside it: a mark that stayed
/// would blame it for a later death in company.
async fn acquit(core: &Core, mailbox: &Mailbox, position: Position) -> Result<(), NodeEnded> {
    let bytes = {
        let mut inner = mailbox.lock();
        if !inner.rules.is_suspect(position) {
            return Ok(());
        }
        inner.rules.acquit(position).map_or(0, |failures| failures.encode().len())
    };
    let Ok(permit) = core.store.reserve(Class::Turn { grows: true }, bytes).await else {
        return Ok(());
    };
    let ticket = {
        let mut inner = mailbox.lock();
        // Looked at again in the step that submits: a message that was handled meanwhile must get no record any more.
        let Some(record) = inner.rules.acquit(position).map(Failures::encode) else {
            return Ok(());
        };
        let (ticket, ()) = core.store.submit(permit, |stage| stage.put(mailbox.attempts_key(position), record));
        inner.last_submitted = ticket;
        ticket
    };
    core.gate.durable(ticket).await
}

/// None when the store takes nothing any more.
async fn submit_attempts(core: &Core, mailbox: &Mailbox, position: Position, record: Bytes) -> Option<Position> {
    let permit = core.store.reserve(Class::Turn { grows: true }, record.len()).await.ok()?;
    let mut inner = mailbox.lock();
    let (ticket, ()) = core.store.submit(permit, |stage| stage.put(mailbox.attempts_key(position), record));
    inner.last_submitted = ticket;
    Some(ticket)
}

async fn give_up(core: &Core, mailbox: &Arc<Mailbox>, position: Position, failures: &Failures) -> Option<Position> {
    let (reason, error) = (Reason::KilledTheProcess, "the process died of this message as often as it may");
    let envelope = core.store.get(&mailbox.inbox_key(position)).ok().flatten()?;
    let record = DeadLetterRecord::encode(reason, failures, core.clock.now(), &envelope);
    let permit = core.store.reserve(Class::Turn { grows: true }, record.len()).await.ok()?;
    tracing::error!(node = %core.name, actor = %mailbox.address, seq = position.0, attempt = failures.attempts, error, event = "dead letter", "it was given up on; replay it when the cause is mended, or drop it");
    let burial = Burial { position, record, envelope: &envelope, reason, error: error.to_owned() };
    Some(core.bury(mailbox, permit, burial))
}
