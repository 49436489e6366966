//! Which of a mailbox's queues a message waits in.

use crate::message::priority::Priority;

/// One queue for each priority, and in it the messages that are held apart from those that are handled by turns: with
/// as many held as may be the former wait, and the latter go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) priority: Priority,
    /// Its messages are handed to a holder, who acknowledges by hand.
    pub(crate) is_for_holds: bool,
}

impl Queue {
    /// Of messages that are handled by turns.
    pub(super) fn for_turns(priority: Priority) -> Self {
        Self { priority, is_for_holds: false }
    }

    /// Of messages that are held.
    pub(super) fn for_holds(priority: Priority) -> Self {
        Self { priority, is_for_holds: true }
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        Priority::DESCENDING.into_iter().flat_map(|priority| [Self::for_turns(priority), Self::for_holds(priority)])
    }
}
