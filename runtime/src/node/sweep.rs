//! Passivation: activations that have been idle for long leave memory, and so do mailboxes that hold nothing, and the
//! bodies of messages that cannot be handled for a while.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::pausing::{forget_budget, has_whole_budget};
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::Supervises;
use crate::shard::Shard;

/// How many sweeps an activation may be idle at least. More would find the moment more exactly, and look more often.
const IDLE_SWEEPS: u32 = 4;
/// How long it is from sweep to sweep at most: mailboxes that hold nothing and budgets that are over leave memory too,
/// however long activations may stay.
const PERIOD_MAX: Duration = Duration::from_secs(60);

/// Sweeps for as long as the node runs.
pub(super) async fn sweep(shard: Arc<Shard>) {
    let (period, idle_sweeps) = rhythm(shard.config.idle_after);
    loop {
        tokio::time::sleep(period).await;
        let sweep = shard.next_sweep();
        shard.directory.for_each(|mailbox| look_at(&shard, mailbox, sweep, idle_sweeps));
        shard.actor_types.values().filter_map(|actor_type| actor_type.supervisor()).for_each(Supervises::shrink);
    }
}

/// How long it is from sweep to sweep, and how many of them an activation may be idle.
fn rhythm(idle_after: Duration) -> (Duration, u64) {
    let period = (idle_after / IDLE_SWEEPS).clamp(Duration::from_millis(1), PERIOD_MAX);
    let sweeps = u64::try_from(idle_after.as_nanos() / period.as_nanos()).unwrap_or(u64::MAX);
    (period, sweeps.max(u64::from(IDLE_SWEEPS)))
}

fn look_at(shard: &Shard, mailbox: Arc<Mailbox>, sweep: u64, idle_sweeps: u64) {
    let mut inner = mailbox.lock();
    if inner.rests(&mailbox, || shard.clock.steady()) {
        shard.leave_to_the_store(&mut inner, shard.store.durable());
        shard.made_room_in_window();
    }
    if has_whole_budget(shard, &inner, &mailbox) {
        drop(inner);
        forget_budget(shard, &mailbox);
        inner = mailbox.lock();
    }
    if inner.is_vacant() {
        drop(inner);
        shard.retire(mailbox);
    } else if sweep.saturating_sub(inner.idle_since()) > idle_sweeps {
        inner.tell_to_leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_come_often_enough_however_long_activations_may_be_idle() {
        assert_eq!(rhythm(Duration::from_secs(10)), (Duration::from_millis(2500), 4));
        assert_eq!(rhythm(Duration::from_micros(1)), (Duration::from_millis(1), 4));
        assert_eq!(rhythm(Duration::from_secs(3600)), (PERIOD_MAX, 60));
        let (period, sweeps) = rhythm(Duration::MAX);
        assert!(period == PERIOD_MAX && sweeps > u64::MAX / 100);
    }
}
