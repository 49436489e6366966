//! Passivation: activations that have been idle for long leave memory, and so do mailboxes that hold nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::activation::Doorbell;
use crate::clock::Micros;
use crate::core::Core;
use crate::mailbox::{Inner, Mailbox, Presence};

/// Looks often enough that nothing stays much longer than it is to.
pub(super) async fn sweep(core: Arc<Core>) {
    let period = (core.config.idle_after / 4).clamp(Duration::from_millis(5), Duration::from_secs(5));
    loop {
        tokio::time::sleep(period).await;
        let now = Micros::now();
        core.directory.for_each(|mailbox| look_at(&core, mailbox, now));
    }
}

fn look_at(core: &Core, mailbox: &Arc<Mailbox>, now: Micros) {
    let mut inner = mailbox.lock();
    let idle_since = inner.idle_since;
    match &inner.presence {
        Presence::Running(activation) if is_idle(&inner) && now.since(idle_since) >= core.config.idle_after => {
            let told = activation.cast(Doorbell::Retire).is_ok();
            inner.rung = told;
        }
        Presence::Absent => {
            drop(inner);
            core.directory.retire(mailbox, core.store.durable());
        }
        Presence::Running(_) | Presence::Starting | Presence::Stopping => {}
    }
}

fn is_idle(inner: &Inner) -> bool {
    inner.rules.is_empty() && inner.questions.is_empty() && !inner.rung
}
