//! Quarantine after an unclean end: what was in flight when the process died is tried alone, one after another, before
//! anything else runs, so that what kills the process is found and its neighbours are not blamed: messages are run,
//! states are loaded and dropped. Only a death while alone counts. A message that has run alone for a while goes on
//! with all others beside it: it may run for hours, and whoever kills the process from outside then is not it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::Position;

use crate::base::ended::NodeEnded;
use crate::commit::{Attempts, Transaction};
use crate::engine::failing::{ERRORS_MAX, GivingUp};
use crate::engine::pausing::{clear_state_suspect, suspect_state};
use crate::mailbox::Mailbox;
use crate::message::reason::Reason;
use crate::record::attempts::Failures;
use crate::record::dead_letter::DeadLetterRecord;
use crate::shard::{Route, Shard};

/// How long a message runs alone: what kills the process does so soon, as a rule. Too long holds up the node at each
/// start after an unclean end, for every thread that had something in flight.
const ALONE_FOR: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was in flight when the process died.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    pub(crate) messages: Vec<Suspect>,
    pub(crate) states: Vec<SuspectState>,
}

/// A state that was in flight.
#[derive(Debug)]
pub(crate) struct SuspectState {
    pub(crate) mailbox: Arc<Mailbox>,
    /// As in [`Suspect`].
    pub(crate) in_flight: bool,
}

/// What is to be tried.
#[derive(Default)]
pub(crate) struct Trials {
    messages: Vec<(Arc<Mailbox>, Position)>,
    states: Vec<Arc<Mailbox>>,
}

/// A message that was in flight when the process died.
#[derive(Debug)]
pub(crate) struct Suspect {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) position: Position,
    /// What the store knows of it.
    pub(crate) failures: Failures,
    /// It was in flight at the last death; otherwise it waits for its trial since an earlier one.
    pub(crate) in_flight: bool,
}

impl Suspects {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.states.is_empty()
    }
}

/// Counts the deaths, gives up on messages and pauses actors that the process has died of too often, and marks the
/// others, durably. From here on nothing runs but what [`try_alone`] admits. To be called before anything runs.
pub(crate) async fn single_out(shard: &Shard, suspects: Suspects) -> Result<Trials, NodeEnded> {
    shard.quarantine.begin();
    let mut trials = Trials::default();
    let mut ticket = Position(0);
    for SuspectState { mailbox, in_flight } in suspects.states {
        let Some((suspected, is_paused)) = suspect_state(shard, &mailbox, in_flight).await else { break };
        ticket = suspected;
        if !is_paused {
            trials.states.push(mailbox);
        }
    }
    for Suspect { mailbox, position, mut failures, in_flight } in suspects.messages {
        if in_flight {
            failures.died(ERRORS_MAX);
        }
        failures.alone = true;
        ticket = if failures.attempts < shard.config.attempts_max {
            let record = failures.encode();
            let Some(ticket) = submit_attempts(shard, &mailbox, position, record).await else { break };
            mailbox.lock().single_out(position, failures);
            trials.messages.push((mailbox, position));
            ticket
        } else {
            let Some(ticket) = give_up(shard, &mailbox, position, &failures).await else { break };
            ticket
        };
    }
    shard.gate.durable(ticket).await?;
    trials.order(shard.store.epoch().counter, |(mailbox, position)| {
        mailbox.lock().rules().is_tried_to_the_end(*position)
    });
    Ok(trials)
}

impl Trials {
    /// Those that run alone until they have ended come first, since after one that goes on beside others nobody is
    /// alone any more. For the same reason another one is first at each start: one that computes for long must not keep
    /// the others from their trial.
    fn order(&mut self, start: u64, is_tried_to_the_end: impl Fn(&(Arc<Mailbox>, Position)) -> bool) {
        let count = self.messages.len() as u64;
        if let Some(first) = start.checked_rem(count) {
            self.messages.rotate_left(first as usize);
        }
        self.messages.sort_by_key(|trial| !is_tried_to_the_end(trial));
    }
}

/// Tries each suspect alone, then lets everything run. States first: no message can run on one that kills the process.
pub(crate) async fn try_alone(shard: &Arc<Shard>, trials: Trials) -> Result<(), NodeEnded> {
    for mailbox in &trials.states {
        tracing::info!(
            node = %shard.name, actor = %mailbox.address, event = "trial of a state",
            "it was in flight when the process died, and is loaded alone"
        );
        // In a task of its own, with the stack that an activation has. A panic is none of the process's deaths.
        let Some(supervisor) = mailbox.actor_type.supervisor() else { continue };
        let tried = shard.detached(supervisor.try_state(mailbox)).await;
        if tried.is_err_and(|error| error.is_cancelled() || shard.is_stopping()) {
            // It was cut off, which is no trial.
            return Err(shard.gate.ended());
        }
    }
    let mut unfinished = None;
    for (mailbox, position) in trials.messages {
        if unfinished.is_some() {
            // What happens from here on is nobody's doing alone: it is let go with all others.
            clear_suspect(shard, &mailbox, position).await?;
            continue;
        }
        tracing::info!(
            node = %shard.name, actor = %mailbox.address, seq = position.0, event = "trial",
            "it was in flight when the process died, and runs alone"
        );
        *shard.quarantine.admitted() = vec![(mailbox.id(), position)];
        shard.quarantine.look_again();
        {
            let mut inner = mailbox.lock();
            inner.await_message(position);
            inner.ring(&mailbox);
        }
        if !has_had_its_trial(shard, &mailbox, position).await? {
            tracing::info!(
                node = %shard.name, actor = %mailbox.address, seq = position.0, event = "trial",
                "it has run alone for a while, and goes on with all others"
            );
            unfinished = Some((Arc::clone(&mailbox), position));
        }
        clear_suspect(shard, &mailbox, position).await?;
    }
    // Only now: a message may be what makes of its state one that cannot be encoded. So may one that goes on.
    for mailbox in trials.states {
        match &unfinished {
            Some((busy, position)) if busy.id() == mailbox.id() => clear_state_after(shard, mailbox, *position),
            _ => {
                if let Some(ticket) = clear_state_suspect(shard, &mailbox).await {
                    shard.gate.durable(ticket).await?;
                }
            }
        }
    }
    shard.quarantine.end();
    shard.gate.look_again();
    Ok(())
}

/// Takes the mark off a state when the turn has ended that goes on with it, beside all others: what it makes of the
/// state may still be what cannot be encoded.
fn clear_state_after(shard: &Arc<Shard>, mailbox: Arc<Mailbox>, position: Position) {
    let node = Arc::clone(shard);
    shard.begin("trial of a state", async move {
        let is_over = || {
            let inner = mailbox.lock();
            !inner.is_in_flight(position) && inner.last_submitted() <= node.store.durable()
        };
        if node.gate.until(is_over).await.is_ok() {
            clear_state_suspect(&node, &mailbox).await;
        }
    });
}

/// Whether a suspect has ended, one way or another, durably.
fn is_over(shard: &Shard, mailbox: &Mailbox, position: Position) -> bool {
    let inner = mailbox.lock();
    inner.is_paused(mailbox) || inner.is_settled(position, shard.clock.steady(), shard.store.durable())
}

/// Waits until a suspect has ended, one way or another: true; or has run alone for as long as it has to.
async fn has_had_its_trial(shard: &Shard, mailbox: &Mailbox, position: Position) -> Result<bool, NodeEnded> {
    // Its last turn, or its failure, is durable before the next suspect runs.
    let settled = || is_over(shard, mailbox, position);
    let is_limited = !mailbox.lock().rules().is_tried_to_the_end(position);
    let mut alone_for = Duration::ZERO;
    while !is_limited || alone_for < ALONE_FOR {
        tokio::select! {
            over = shard.gate.until(settled) => return over.map(|()| true),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        // What is before it in its mailbox is part of its trial.
        if mailbox.lock().rules().in_flight().is_some() {
            alone_for += LOOK_EVERY;
        }
    }
    Ok(false)
}

/// Takes the mark off a suspect that could not have its trial, durably before anything runs beside it: a mark that
/// stayed would blame it for a later death in company.
async fn clear_suspect(shard: &Shard, mailbox: &Arc<Mailbox>, position: Position) -> Result<(), NodeEnded> {
    let bytes = {
        let mut inner = mailbox.lock();
        if !inner.rules().is_suspect(position) {
            return Ok(());
        }
        inner.clear_suspect(position).map_or(0, |failures| failures.encode().len())
    };
    let transaction = Transaction::upkeep(shard).with(Attempts::cleared(mailbox, position, bytes));
    let Ok(permit) = transaction.reserve().await else { return Ok(()) };
    match transaction.commit(permit) {
        Ok(committed) => shard.gate.durable(committed.ticket).await,
        // It was handled meanwhile.
        Err(_) => Ok(()),
    }
}

/// None when the store takes nothing any more.
async fn submit_attempts(shard: &Shard, mailbox: &Arc<Mailbox>, position: Position, record: Bytes) -> Option<Position> {
    let transaction = Transaction::upkeep(shard).with(Attempts::noted(mailbox, position, record));
    let permit = transaction.reserve().await.ok()?;
    Some(transaction.commit_in_any_case(permit).ticket)
}

async fn give_up(shard: &Shard, mailbox: &Arc<Mailbox>, position: Position, failures: &Failures) -> Option<Position> {
    let (reason, error) = (Reason::KilledTheProcess, "the process died of this message as often as it may");
    let envelope = shard.store.get(&mailbox.inbox_key(position)).ok().flatten()?;
    let record = DeadLetterRecord::encode(reason, failures, shard.clock.now(), &envelope);
    // It cannot stay: it would be the next thing that the process dies of.
    let slot = shard.dead_letters.slot_in_any_case();
    let route = Route::Local(Arc::clone(mailbox));
    let (envelope, must_wait) = (&*envelope, false);
    let giving_up = GivingUp { route: &route, slot, position, record, envelope, reason, error, must_wait };
    let transaction = giving_up.with_its_effects(Transaction::upkeep(shard));
    let permit = transaction.reserve().await.ok()?;
    if let Some(times) = shard.of_actors.dead_letters.met(mailbox.id()) {
        tracing::error!(
            node = %shard.name, actor = %mailbox.address, seq = position.0, attempt = failures.attempts, error,
            times, event = "dead letter",
            "it was given up on; replay it when the cause is mended, or delete it"
        );
    }
    Some(transaction.commit_in_any_case(permit).ticket)
}
