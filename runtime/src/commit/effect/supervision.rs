//! Pausing, and the restart budgets of keyed actors, as the store keeps them.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Partition, Stage};

use super::Phases;
use crate::base::text::brief;
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::mailbox_id;
use crate::record::supervised::{PauseReason, Paused, Supervised};
use crate::shard::Shard;
use crate::tables;

/// About what a record of supervision takes beside what is new in it.
const RECORD_BYTES: usize = 1024;

/// How a supervised actor fares from now on.
pub(crate) struct Supervision<'a> {
    mailbox: &'a Arc<Mailbox>,
    change: SupervisionChange,
    /// None when it is not worth a record any more.
    record: Option<Bytes>,
}

/// What changes about it.
#[derive(Debug)]
pub(crate) enum SupervisionChange {
    /// It is paused by somebody.
    Pause(Paused),
    /// Its next state is one that no commit takes.
    StateTooLarge(PauseReason),
    /// It is resumed.
    Resume,
    /// It has failed itself, or could not handle a message: that counts against its budget.
    Failed(String),
    /// Its activation has failed: another one starts after a wait.
    Restarts(String),
    /// Its state is suspected of having killed the process, `in_flight` while it was alone.
    Suspect { in_flight: bool },
    /// Its state has had its trial.
    Acquit,
    /// Its budget is whole again.
    Forget,
}

impl<'a> Supervision<'a> {
    pub(crate) fn new(mailbox: &'a Arc<Mailbox>, change: SupervisionChange) -> Self {
        Self { mailbox, change, record: None }
    }
}

impl<'a> Phases<'a> for Supervision<'a> {
    fn size(&self, size: &mut Size) {
        match &self.change {
            SupervisionChange::Pause(paused) => {
                let record = Supervised::paused(paused.clone()).encode(self.mailbox.address.as_str());
                size.put(record.len() + RECORD_BYTES);
            }
            SupervisionChange::Restarts(error) => size.put(error.len()),
            SupervisionChange::StateTooLarge(_)
            | SupervisionChange::Resume
            | SupervisionChange::Suspect { .. }
            | SupervisionChange::Acquit => size.put(RECORD_BYTES),
            // A message that is given up on has to fit whatever is known of its actor; a budget that is whole has no
            // record.
            SupervisionChange::Failed(_) | SupervisionChange::Forget => {}
        }
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        let shard = step.shard;
        let supervised = step.mailbox(self.mailbox).supervised();
        let holds = match &self.change {
            SupervisionChange::StateTooLarge(_) => supervised.is_none_or(|supervised| supervised.paused.is_none()),
            SupervisionChange::Pause(_) => supervised.is_none_or(|supervised| supervised.barred().is_none()),
            SupervisionChange::Resume => supervised.is_some_and(|supervised| supervised.paused.is_some()),
            SupervisionChange::Acquit => supervised.is_some_and(|supervised| supervised.suspicion.is_some()),
            SupervisionChange::Forget => supervised
                .is_some_and(|supervised| supervised.is_over(shard.clock.steady(), &self.mailbox.actor_type.budget)),
            SupervisionChange::Failed(_) | SupervisionChange::Restarts(_) | SupervisionChange::Suspect { .. } => true,
        };
        if holds { Ok(()) } else { Err(Refused::Gone) }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        let shard = step.shard;
        let inner = step.mailbox(self.mailbox);
        if matches!(self.change, SupervisionChange::Restarts(_)) {
            inner.back_off();
        }
        if let Some(why) = inner.supervise(|supervised| change(shard, supervised, self.mailbox, &self.change))
            && let Some(times) = shard.of_actors.pauses.met(self.mailbox.id())
        {
            tracing::error!(
                node = %shard.name, actor = %self.mailbox.address, error = %brief(&why), times, event = "paused",
                "the actor keeps accepting and handles nothing until it is resumed"
            );
        }
        let address = self.mailbox.address.as_str();
        self.record = inner.supervised().map(|supervised| supervised.encode(address));
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        match self.record.take() {
            Some(record) => stage.put(self.mailbox.supervision_key(), record),
            None => stage.delete(self.mailbox.supervision_key()),
        }
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let ticket = step.ticket;
        let inner = step.mailbox(self.mailbox);
        inner.submitted(ticket);
        if matches!(self.change, SupervisionChange::Resume) && !inner.is_idle() {
            inner.ring(self.mailbox);
        }
    }
}

/// Makes the change in memory. Why the node itself has paused the actor by it, if it has.
fn change(shard: &Shard, supervised: &mut Supervised, mailbox: &Mailbox, change: &SupervisionChange) -> Option<String> {
    let is_paused = match change {
        SupervisionChange::Pause(paused) => {
            supervised.pause(paused.clone());
            false
        }
        SupervisionChange::Resume => {
            supervised.resume();
            false
        }
        SupervisionChange::Acquit => {
            supervised.suspicion = None;
            false
        }
        SupervisionChange::Forget => {
            *supervised = Supervised::default();
            false
        }
        SupervisionChange::StateTooLarge(reason) => {
            supervised.paused = Some(Paused { reason: reason.clone(), since: shard.clock.wall() });
            true
        }
        SupervisionChange::Failed(error) | SupervisionChange::Restarts(error) => {
            supervised.failed(shard.clock.now(), &mailbox.actor_type.budget, error)
        }
        SupervisionChange::Suspect { in_flight } => {
            supervised.suspect(*in_flight, shard.config.attempts_max, shard.clock.wall())
        }
    };
    is_paused.then(|| supervised.paused.as_ref().map_or_else(String::new, |paused| paused.reason.to_string()))
}

/// An actor type is paused or resumed.
pub(crate) struct TypePaused<'a> {
    actor_type: &'a ActorType,
    paused: Option<Paused>,
}

impl<'a> TypePaused<'a> {
    pub(crate) fn new(actor_type: &'a ActorType, paused: Option<Paused>) -> Self {
        Self { actor_type, paused }
    }

    fn record(&self) -> Option<Bytes> {
        self.paused.clone().map(|paused| Supervised::paused(paused).encode(self.actor_type.name))
    }
}

impl<'a> Phases<'a> for TypePaused<'a> {
    fn size(&self, size: &mut Size) {
        if let Some(record) = self.record() {
            size.put(record.len());
        }
    }

    /// It is locked to the end of the step, so that two who pause and resume it are stored in the order in which memory
    /// has them.
    fn take(&mut self, step: &mut Step<'_, 'a>) {
        step.paused_type = Some(self.actor_type.set_paused(self.paused.clone()));
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        let key = tables::supervision(Partition(0), mailbox_id(self.actor_type.name));
        match self.record() {
            Some(record) => stage.put(key, record),
            None => stage.delete(key),
        }
    }
}
