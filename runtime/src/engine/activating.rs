//! When an activation is started, and what follows when it has ended.

use std::sync::Arc;

use everpost_persistence::Position;

use crate::base::text::shortened;
use crate::commit::{Supervision, SupervisionChange, Transaction};
use crate::engine::failing;
use crate::engine::holding::dropped;
use crate::mailbox::query::lose;
use crate::mailbox::{Ended, Mailbox};
use crate::shard::wheel::Due;
use crate::shard::{Release, Shard};

pub(crate) fn ring_when_durable(shard: &Shard, mailbox: &Arc<Mailbox>, position: Position) {
    let mut inner = mailbox.lock();
    if inner.gate() && shard.gate.hold(position, Release::Ring(Arc::clone(mailbox))).is_some() {
        inner.ring_from_gate(mailbox);
    }
}

/// Rings a mailbox that nobody works on if something can be done there now, and otherwise when it can. Nothing need
/// be rung for: the activation that would look at it costs more than the look.
pub(crate) fn rouse(shard: &Shard, mailbox: &Arc<Mailbox>) {
    let mut inner = mailbox.lock();
    let later = inner.rouse(mailbox, shard.view());
    drop(inner);
    if let Some(moment) = later {
        shard.ring_at(mailbox, moment);
    }
}

/// An activation has ended, and its supervisor has seen it: another may start.
pub(crate) fn ended(shard: &Arc<Shard>, mailbox: Arc<Mailbox>) {
    let Ended { handover, is_over } = mailbox.lock().ended(&mailbox, shard.is_stopping());
    if let Some(held) = handover.filter(|held| held.is_dropped && !shard.is_stopping()) {
        // The handler was cut off where it stood, and its hold went with it.
        let (taking, mailbox) = (Arc::clone(shard), Arc::clone(&mailbox));
        shard.begin_beside_handlers("a hold that was dropped", async move {
            failing::take_back(&taking, &mailbox, held.position, Some(held.attempt), dropped()).await;
        });
    }
    if is_over {
        shard.retire(mailbox);
    }
}

/// An activation failed with no message in flight (its state cannot be read, say): wait before the next one, if the
/// budget of the actor allows it. That of a child of a group is left to the group.
pub(crate) fn restart_later(shard: &Arc<Shard>, mailbox: Arc<Mailbox>, error: String) {
    {
        let mut inner = mailbox.lock();
        if inner.is_child() {
            // Nobody is there to answer them.
            let queries = inner.take_queries();
            drop(inner);
            lose(queries);
            return ended(shard, mailbox);
        }
    }
    let begun = Arc::clone(shard);
    shard.begin("the restart of an activation", async move {
        let (shard, error) = (begun, shortened(error));
        let restarting = Supervision::new(&mailbox, SupervisionChange::Restarts(error));
        let transaction = Transaction::node(&shard).with(restarting);
        // Without room for the record the store has failed, and there is no next time.
        let Ok(permit) = transaction.reserve().await else { return };
        transaction.commit_in_any_case(permit);
        let wait = shard.config.backoff.delay(mailbox.lock().restarts(), rand::random());
        shard.wheel.set(None, shard.clock.steady().plus(wait), Due::Restart(mailbox));
    });
}

/// The wait after an activation that failed is over.
pub(crate) fn restart(mailbox: &Arc<Mailbox>) {
    let queries = mailbox.lock().restart(mailbox);
    lose(queries);
}
