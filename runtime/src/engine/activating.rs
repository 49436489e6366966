//! When an activation is started, and what follows when it has ended.

use std::collections::VecDeque;
use std::sync::Arc;

use everpost_persistence::Position;

use crate::base::text::shortened;
use crate::commit::{Supervision, SupervisionChange, Transaction};
use crate::core::wheel::Due;
use crate::core::{Core, Release};
use crate::engine::failing;
use crate::engine::holding::dropped;
use crate::mailbox::question::lose;
use crate::mailbox::{Mailbox, Next, Presence};
use crate::message::delivery::Delivery;

pub(crate) fn ring_when_durable(core: &Core, mailbox: &Arc<Mailbox>, position: Position) {
    let mut inner = mailbox.lock();
    if inner.gated {
        return;
    }
    inner.gated = true;
    if core.gate.hold(position, Release::Ring(Arc::clone(mailbox))).is_some() {
        inner.gated = false;
        inner.ring(mailbox);
    }
}

/// Rings a mailbox that nobody works on if something can be done there now, and otherwise when it can. Nothing need
/// be rung for: the activation that would look at it costs more than the look.
pub(crate) fn rouse(core: &Core, mailbox: &Arc<Mailbox>) {
    let mut inner = mailbox.lock();
    let is_quiet = inner.questions.is_empty() && !mailbox.is_paused(&inner);
    let next = match inner.presence {
        Presence::Absent if is_quiet && inner.attendance.is_none() => {
            let early = mailbox.kind.delivery == Delivery::Pipelined && !core.quarantine.is_active();
            inner.rules.peek(|| core.clock.steady(), core.store.durable(), early)
        }
        _ => return inner.ring(mailbox),
    };
    match next {
        Next::Until(moment) => {
            drop(inner);
            core.ring_at(mailbox, moment);
        }
        Next::Empty => {}
        Next::Deliver { .. } | Next::Load(_) | Next::Overdue(_) | Next::Durable(_) => inner.ring(mailbox),
    }
}

/// An activation has ended, and its supervisor has seen it: another may start.
pub(crate) fn ended(core: &Arc<Core>, mailbox: Arc<Mailbox>) {
    let mut inner = mailbox.lock();
    let held = inner.holding.take().filter(|held| held.is_dropped && !core.is_stopping());
    // One that left found nothing to do, and whatever comes up rings.
    let has_left = matches!(inner.presence, Presence::Stopping) && !inner.rung;
    inner.vacate();
    if inner.rules.in_flight().is_some() {
        // It was ended by a stop, which is no failure of the message.
        inner.rules.interrupted();
    }
    if let Some(held) = held {
        // The handler was cut off where it stood, and its hold went with it.
        let (taking, mailbox) = (Arc::clone(core), Arc::clone(&mailbox));
        core.begin_beside_handlers("a hold that was dropped", async move {
            failing::take_back(&taking, &mailbox, held.position, Some(held.attempt), dropped()).await;
        });
    }
    if !inner.has_work(&mailbox) {
        drop(inner);
        core.retire(mailbox);
    } else if !has_left && !core.is_stopping() {
        inner.ring(&mailbox);
    }
}

/// An activation failed with no message in flight (its state cannot be read, say): wait before the next one, if the
/// budget of the actor allows it. That of a child of a group is left to the group.
pub(crate) fn restart_later(core: &Arc<Core>, mailbox: Arc<Mailbox>, error: String) {
    {
        let mut inner = mailbox.lock();
        if inner.attendance.is_some() {
            // Nobody is there to answer them.
            let questions = std::mem::take(&mut inner.questions);
            drop(inner);
            lose(questions);
            return ended(core, mailbox);
        }
    }
    let begun = Arc::clone(core);
    core.begin("the restart of an activation", async move {
        let (core, error) = (begun, shortened(error));
        let restarting = Supervision::new(&mailbox, SupervisionChange::Restarts(error));
        let transaction = Transaction::node(&core).with(restarting);
        // Without room for the record the store has failed, and there is no next time.
        let Ok(permit) = transaction.reserve().await else { return };
        transaction.commit_in_any_case(permit);
        let wait = core.config.backoff.delay(mailbox.lock().restarts, rand::random());
        core.wheel.set(None, core.clock.steady().plus(wait), Due::Restart(mailbox));
    });
}

/// The wait after an activation that failed is over.
pub(crate) fn restart(_core: &Core, mailbox: &Arc<Mailbox>) {
    let mut inner = mailbox.lock();
    inner.vacate();
    // In a mailbox that is paused nobody is there to answer them.
    let is_paused = mailbox.is_paused(&inner);
    let questions = if is_paused { std::mem::take(&mut inner.questions) } else { VecDeque::new() };
    inner.ring(mailbox);
    drop(inner);
    lose(questions);
}
