//! States that are nearly, or altogether, too large for a commit.

use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use crate::commit::{Supervision, SupervisionChange, Transaction};
use crate::mailbox::Mailbox;
use crate::record::state_size::nearness;
use crate::record::supervised::PauseReason;
use crate::shard::Shard;

/// Warns early of a state that has become large. Most states are far below.
pub(crate) fn watch_state(shard: &Shard, mailbox: &Mailbox, bytes: usize) {
    let bytes_max = shard.config.store.submission_bytes_max();
    if let Some(near) = nearness(bytes, bytes_max) {
        let mut alarms = shard.large_states.lock().unwrap_or_else(PoisonError::into_inner);
        let said = alarms.raise((mailbox.id(), near), Instant::now());
        drop(alarms);
        if let Some(said) = said {
            tracing::warn!(
                node = %shard.name, actor = %mailbox.address, bytes, bytes_max, times = said.times,
                lasts = ?said.lasts, event = "large state",
                "the state has {near} of the size that a commit may have; with more it is paused: split it among \
                 several actors, or raise `store.queue_bytes_max` (and the maps)"
            );
        }
    }
}

/// The message in flight would make of the state one that no commit takes: it goes back to where it was, and the actor
/// is paused, durably, unless it is already. A process that dies before that is durable tries the message again.
pub(crate) async fn state_too_large(
    shard: &Shard,
    mailbox: &Arc<Mailbox>,
    bytes: usize,
    bytes_max: usize,
    setting: &'static str,
) {
    let (bytes, bytes_max) = (bytes as u64, bytes_max as u64);
    let reason = PauseReason::StateTooLarge { bytes, bytes_max, setting: setting.to_owned() };
    let pausing = Supervision::new(mailbox, SupervisionChange::StateTooLarge(reason));
    let transaction = Transaction::node(shard).with(pausing);
    // Without room for a record the store has failed, and nothing runs any more.
    if let Ok(permit) = transaction.reserve().await {
        // It may be paused already.
        let _ = transaction.commit(permit);
    }
    mailbox.lock().interrupt();
}
