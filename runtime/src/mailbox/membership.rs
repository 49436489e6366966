//! A keyed actor as the child of a group: whether it is up. Its mailbox keeps this, and no store does. Actors that no
//! group has as a child have nothing of it.

use std::sync::Arc;

use tokio::sync::Notify;

/// What a mailbox knows of the group that has its actor as a child.
#[derive(Debug)]
pub(super) struct Membership {
    /// The path of the group. None when that has ended, and has left the actor down.
    pub(super) group: Option<String>,
    pub(super) state: ChildState,
    /// Rung for the task that stands for the child: an activation has loaded its state, or has ended.
    pub(super) changed: Arc<Notify>,
}

/// Whether the actor is up.
#[derive(Debug)]
pub(crate) enum ChildState {
    /// No message is handled, as in a mailbox that is paused; queries are answered.
    Down,
    /// The same, and no activation may start, not for a query either: one that is there has to end first.
    Stopping,
    /// An activation is being started.
    Starting,
    /// It has loaded its state, and stays in memory.
    Running,
    /// It has failed. Nothing starts until the group has heard of it.
    Failed(String),
}

impl Membership {
    /// The actor becomes a child of a group, which has not started it yet.
    pub(super) fn of(group: String) -> Self {
        Self { group: Some(group), state: ChildState::Down, changed: Arc::default() }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, ChildState::Starting | ChildState::Running)
    }

    /// Whether an activation is needed.
    pub(super) fn has_work(&self, has_queries: bool) -> bool {
        match self.state {
            ChildState::Starting | ChildState::Running => true,
            ChildState::Down => has_queries,
            ChildState::Stopping | ChildState::Failed(_) => false,
        }
    }

    /// An activation has loaded its state.
    pub(super) fn loaded(&mut self) {
        if matches!(self.state, ChildState::Starting) {
            self.state = ChildState::Running;
            self.changed.notify_one();
        }
    }

    /// The activation has failed; its end is told apart.
    pub(super) fn failed(&mut self, error: String) {
        if self.is_up() {
            self.state = ChildState::Failed(error);
        }
    }
}
