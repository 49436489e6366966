//! Passivation: activations that have been idle for long leave memory, and so do mailboxes that hold nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;
use crate::mailbox::{Mailbox, Presence};

/// How many sweeps an activation may be idle. More would find the moment more exactly, and look more often.
const IDLE_SWEEPS: u32 = 4;

/// Sweeps for as long as the node runs.
pub(super) async fn sweep(core: Arc<Core>) {
    let period = (core.config.idle_after / IDLE_SWEEPS).max(Duration::from_millis(1));
    loop {
        tokio::time::sleep(period).await;
        let sweep = core.next_sweep();
        core.directory.for_each(|mailbox| look_at(&core, mailbox, sweep));
        core.expire_requests().await;
        core.drop_old_letters().await;
    }
}

fn look_at(core: &Core, mailbox: Arc<Mailbox>, sweep: u64) {
    let mut inner = mailbox.lock();
    core.forget_budget(&mut inner, &mailbox);
    if matches!(inner.presence, Presence::Absent) {
        drop(inner);
        core.retire(mailbox);
    } else if inner.may_leave() && inner.idle_since + u64::from(IDLE_SWEEPS) < sweep {
        inner.leave_if_idle = true;
        inner.wake();
    }
}
