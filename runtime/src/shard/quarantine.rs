//! Who may run while suspects of an unclean end have their trials.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::{MailboxId, Position};
use tokio::sync::Notify;

/// Who may run while suspects are being cleared.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    active: AtomicBool,
    /// Mailboxes that may run, each up to this message.
    admitted: Mutex<Vec<(MailboxId, Position)>>,
    /// Rung when somebody else may run.
    changed: Notify,
}

impl Quarantine {
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether this message may run now: the suspect on trial, what is before it in its mailbox, and what it asks. In a
    /// mailbox that is not in the order of positions, what came later may be before the suspect.
    pub(crate) fn admits(&self, mailbox: MailboxId, position: Position, is_reordered: bool) -> bool {
        let admits = |(admitted, last): &(_, _)| *admitted == mailbox && (is_reordered || position <= *last);
        self.admitted().iter().any(admits)
    }

    /// Whether the state of this mailbox may be loaded now.
    pub(crate) fn admits_state_of(&self, mailbox: MailboxId) -> bool {
        !self.is_active() || self.admitted().iter().any(|(admitted, _)| *admitted == mailbox)
    }

    /// The suspect on trial asks another actor: that query is part of its trial.
    pub(crate) fn admit(&self, mailbox: MailboxId, position: Position) {
        if self.is_active() {
            self.admitted().push((mailbox, position));
            self.look_again();
        }
    }

    /// Completes when `condition` holds; asks again whenever somebody else may run.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if condition() {
                return;
            }
            changed.await;
        }
    }

    /// Lets those who wait ask again.
    pub(crate) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) fn begin(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.admitted().clear();
        self.active.store(false, Ordering::Relaxed);
        self.look_again();
    }

    pub(crate) fn admitted(&self) -> MutexGuard<'_, Vec<(MailboxId, Position)>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
