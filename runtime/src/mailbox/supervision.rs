//! How the actor of one mailbox is supervised: its restart budget and whether it is paused, as the store keeps them;
//! and whether a group has it as a child, which no store keeps.

use std::sync::Arc;

use everpost_persistence::Position;
use tokio::sync::Notify;

use super::handover::Handover;
use super::membership::{ChildState, Membership};
use super::{Inner, Mailbox};
use crate::record::supervised::{PauseReason, Paused, Supervised};

#[derive(Default)]
pub(super) struct Supervision {
    /// None when there is nothing to say: then the store has no record.
    supervised: Option<Box<Supervised>>,
    /// Whether it is up, when it is the child of a group.
    pub(super) membership: Option<Box<Membership>>,
    /// How many activations in a row ended without finishing a message.
    restarts: u32,
}

/// What an activation that has failed leaves behind.
pub(crate) struct Unfinished {
    pub(crate) in_flight: Option<Position>,
    pub(crate) handover: Option<Handover>,
}

impl Supervision {
    /// Why the state must not be loaded, if it must not.
    pub(super) fn barred(&self) -> Option<&PauseReason> {
        self.supervised.as_deref().and_then(Supervised::barred)
    }

    /// Whether the actor handles nothing for now, whatever its type does.
    pub(super) fn is_paused(&self) -> bool {
        self.is_down() || self.supervised.as_deref().is_some_and(|supervised| supervised.paused.is_some())
    }

    /// Whether it is the child of a group that does not have it up.
    pub(super) fn is_down(&self) -> bool {
        self.membership.as_deref().is_some_and(|membership| !membership.is_up())
    }

    /// Whether nothing is known of it.
    pub(super) fn is_plain(&self) -> bool {
        self.supervised.is_none() && self.membership.is_none()
    }

    /// A message was finished: the activation works.
    pub(super) fn has_finished_one(&mut self) {
        self.restarts = 0;
    }

    /// Whoever stands for the child looks at it.
    pub(super) fn tell_group(&self) {
        if let Some(membership) = &self.membership {
            membership.changed.notify_one();
        }
    }

    fn set_child_state(&mut self, state: ChildState) {
        if let Some(membership) = &mut self.membership {
            membership.state = state;
        }
    }
}

/// What the store keeps.
impl Inner {
    /// What is said of the actor, if anything is.
    pub(crate) fn supervised(&self) -> Option<&Supervised> {
        self.supervision.supervised.as_deref()
    }

    /// Changes what is said of the actor.
    pub(crate) fn supervise<T>(&mut self, change: impl FnOnce(&mut Supervised) -> T) -> T {
        let supervised = self.supervision.supervised.get_or_insert_default();
        let changed = change(supervised);
        if supervised.is_plain() {
            self.supervision.supervised = None;
        }
        changed
    }

    /// Why its state must not be loaded, if it must not.
    pub(crate) fn barred(&self) -> Option<&PauseReason> {
        self.supervision.barred()
    }

    /// Why the actor itself is paused, if it is.
    pub(crate) fn paused(&self) -> Option<&Paused> {
        self.supervised().and_then(|supervised| supervised.paused.as_ref())
    }

    /// How many activations in a row ended without finishing a message.
    pub(crate) fn restarts(&self) -> u32 {
        self.supervision.restarts
    }

    /// The activation has failed, and the next one is started after a wait.
    pub(crate) fn back_off(&mut self) {
        self.supervision.restarts = self.supervision.restarts.saturating_add(1);
        self.doorbell.back_off();
    }

    /// The activation has failed. A group that has it as a child hears of that when it is gone.
    pub(crate) fn activation_failed(&mut self, error: &str) -> Unfinished {
        if let Some(membership) = &mut self.supervision.membership {
            membership.failed(error.to_owned());
        }
        let in_flight = self.messages.rules.in_flight().map(|(position, _)| position);
        Unfinished { in_flight, handover: self.handover.take() }
    }
}

/// The actor as the child of a group.
impl Inner {
    /// The actor becomes the child of a group, which has not started it yet. True when no group had left it down.
    ///
    /// # Errors
    ///
    /// The group whose child it is.
    pub(crate) fn join_group(&mut self, group: &str) -> Result<bool, String> {
        let former = self.supervision.membership.as_deref();
        if let Some(group) = former.and_then(|membership| membership.group.clone()) {
            return Err(group);
        }
        let was_free = former.is_none();
        self.supervision.membership = Some(Box::new(Membership::of(group.to_owned())));
        // The group says when.
        self.doorbell.leave_queue();
        self.wake();
        Ok(was_free)
    }

    /// Whether it is the child of a group.
    pub(crate) fn is_child(&self) -> bool {
        self.supervision.membership.is_some()
    }

    /// How it stands as the child of a group, if it is one.
    pub(crate) fn child_state(&self) -> Option<&ChildState> {
        self.supervision.membership.as_deref().map(|membership| &membership.state)
    }

    /// Rung whenever an activation of the child has loaded its state, or has ended.
    pub(crate) fn child_state_changed(&self) -> Option<Arc<Notify>> {
        self.supervision.membership.as_ref().map(|membership| Arc::clone(&membership.changed))
    }

    /// Has the child started, once its last activation has ended: true then.
    pub(crate) fn bring_up(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        let is_vacant = self.is_vacant();
        if let Some(why) = self.barred().map(ToString::to_string) {
            self.supervision.set_child_state(ChildState::Failed(why));
        } else if is_vacant {
            self.supervision.set_child_state(ChildState::Starting);
            self.ring(mailbox);
        }
        is_vacant
    }

    /// The activation has loaded its state.
    pub(crate) fn state_loaded(&mut self) {
        if let Some(membership) = &mut self.supervision.membership {
            membership.loaded();
        }
    }

    /// The child is to end, and nothing starts until it has.
    pub(crate) fn send_down(&mut self) {
        self.supervision.set_child_state(ChildState::Stopping);
        self.wake();
    }

    /// The child is down. True when its activation is still there, and has to be ended.
    pub(crate) fn put_down(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        self.supervision.set_child_state(ChildState::Down);
        let is_vacant = self.is_vacant();
        if is_vacant {
            // Queries may have come meanwhile.
            self.ring(mailbox);
        }
        !is_vacant
    }

    /// The group has ended; the actor stays down.
    pub(crate) fn leave_group(&mut self) {
        if let Some(membership) = &mut self.supervision.membership {
            membership.group = None;
        }
    }

    /// The actor handles messages whenever there are some, unless it is the child of a group by now.
    pub(crate) fn release_from_group(&mut self, mailbox: &Arc<Mailbox>) {
        if self.supervision.membership.take_if(|membership| membership.group.is_none()).is_some() {
            self.ring(mailbox);
        }
    }
}
