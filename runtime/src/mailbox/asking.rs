//! How many of the messages that wait in a mailbox have asked something in their turns.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many of the messages that wait in a mailbox have asked. Changes under the lock of the register, which counts
/// each message once.
#[derive(Debug, Default)]
pub(crate) struct AskingTurns(pub(crate) AtomicUsize);

impl AskingTurns {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
