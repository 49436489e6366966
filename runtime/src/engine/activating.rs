//! When an activation is started, and what follows when it has ended.

use std::sync::Arc;

use everpost_persistence::Position;

use crate::base::text::shortened;
use crate::commit::{Supervision, SupervisionChange, Transaction};
use crate::core::wheel::Due;
use crate::core::{Core, Release};
use crate::engine::failing;
use crate::engine::holding::dropped;
use crate::mailbox::query::lose;
use crate::mailbox::{Ended, Mailbox};

pub(crate) fn ring_when_durable(core: &Core, mailbox: &Arc<Mailbox>, position: Position) {
    let mut inner = mailbox.lock();
    if inner.gate() && core.gate.hold(position, Release::Ring(Arc::clone(mailbox))).is_some() {
        inner.ring_from_gate(mailbox);
    }
}

/// Rings a mailbox that nobody works on if something can be done there now, and otherwise when it can. Nothing need
/// be rung for: the activation that would look at it costs more than the look.
pub(crate) fn rouse(core: &Core, mailbox: &Arc<Mailbox>) {
    let mut inner = mailbox.lock();
    let later = inner.rouse(mailbox, core.view());
    drop(inner);
    if let Some(moment) = later {
        core.ring_at(mailbox, moment);
    }
}

/// An activation has ended, and its supervisor has seen it: another may start.
pub(crate) fn ended(core: &Arc<Core>, mailbox: Arc<Mailbox>) {
    let Ended { handover, is_over } = mailbox.lock().ended(&mailbox, core.is_stopping());
    if let Some(held) = handover.filter(|held| held.is_dropped && !core.is_stopping()) {
        // The handler was cut off where it stood, and its hold went with it.
        let (taking, mailbox) = (Arc::clone(core), Arc::clone(&mailbox));
        core.begin_beside_handlers("a hold that was dropped", async move {
            failing::take_back(&taking, &mailbox, held.position, Some(held.attempt), dropped()).await;
        });
    }
    if is_over {
        core.retire(mailbox);
    }
}

/// An activation failed with no message in flight (its state cannot be read, say): wait before the next one, if the
/// budget of the actor allows it. That of a child of a group is left to the group.
pub(crate) fn restart_later(core: &Arc<Core>, mailbox: Arc<Mailbox>, error: String) {
    {
        let mut inner = mailbox.lock();
        if inner.is_child() {
            // Nobody is there to answer them.
            let queries = inner.take_queries();
            drop(inner);
            lose(queries);
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
        let wait = core.config.backoff.delay(mailbox.lock().restarts(), rand::random());
        core.wheel.set(None, core.clock.steady().plus(wait), Due::Restart(mailbox));
    });
}

/// The wait after an activation that failed is over.
pub(crate) fn restart(_core: &Core, mailbox: &Arc<Mailbox>) {
    let queries = mailbox.lock().restart(mailbox);
    lose(queries);
}
