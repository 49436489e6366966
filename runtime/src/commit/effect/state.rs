//! The state of an actor, as its turn leaves it.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::Stage;

use super::Phases;
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::Step;
use crate::mailbox::Mailbox;

/// The state after a turn. Comes after the effect that takes the turn's message out of the mailbox.
pub(crate) struct StateChange<'a> {
    pub(crate) mailbox: &'a Arc<Mailbox>,
    /// The new state; none when it did not change.
    pub(crate) record: Option<Bytes>,
    /// What the store has, in bytes, that the new one replaces.
    pub(crate) replaced: usize,
    /// It is to be forgotten once nothing waits.
    pub(crate) forget: bool,
    /// The turn sends to its own actor, so that something will wait.
    pub(crate) sends_to_itself: bool,
}

impl<'a> Phases<'a> for StateChange<'a> {
    #[inline]
    fn size(&self, size: &mut Size) {
        if let Some(record) = &self.record {
            size.put(record.len());
            if self.replaced > 0 {
                size.remove(self.replaced);
            }
        }
    }

    #[inline]
    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    #[inline]
    fn take(&mut self, step: &mut Step<'_, 'a>) {
        self.forget = self.forget && !self.sends_to_itself && step.mailbox(self.mailbox).rules().is_empty();
    }

    #[inline]
    fn stage(&mut self, stage: &mut Stage<'_>) {
        if self.forget {
            stage.delete(self.mailbox.state_key());
        } else if let Some(record) = self.record.take() {
            stage.put(self.mailbox.state_key(), record);
        }
    }

    #[inline]
    fn apply(self, step: &mut Step<'_, 'a>) {
        step.forgotten |= self.forget;
    }
}
