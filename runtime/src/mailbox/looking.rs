//! What an activation does next in its mailbox, and whether there is anything to do where there is none.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::Position;

use super::query::Open;
use super::rules::Next;
use super::waiter::Waiter;
use super::{Inner, Mailbox};
use crate::base::clock::Steady;
use crate::message::delivery::Delivery;

/// What is to be known of the node by whoever looks. `N` reads its clock, where that matters.
pub(crate) struct View<N> {
    pub(crate) now: N,
    /// What the store has on disk.
    pub(crate) durable: Position,
    /// Suspects of a death of the process have their trials: nothing runs beside them, and nothing is visible before it
    /// is durable.
    pub(crate) is_trial: bool,
}

/// What an activation does next.
pub(crate) enum Step {
    /// Answer a query, and let the answer go when this is durable.
    Answer(Box<dyn Open>, Position),
    /// Follow the rules of the mailbox; whether someone waits for the reply.
    Follow(Next<Bytes>, bool),
}

impl Inner {
    /// The activation looks at whatever it was rung for. During a trial `admits` says which message may run, and
    /// whether it may although others pass it in this mailbox; `sweep` is the one at which it is idle if it is.
    pub(crate) fn next<N: FnOnce() -> Steady>(
        &mut self,
        mailbox: &Mailbox,
        view: View<N>,
        admits: impl FnOnce(Position, bool) -> bool,
        sweep: impl FnOnce() -> u64,
    ) -> Step {
        // Before all that decides is read: what was known until now may be why it was rung.
        self.doorbell.look();
        let is_trial = view.is_trial;
        // During a trial a query would be one more thing that the process may die of.
        if !is_trial
            && self.queries.are_first()
            && let Some(answer) = self.answer()
        {
            return answer;
        }
        let mut next = match self.is_paused(mailbox) {
            true => Next::Empty,
            false => self.visible(mailbox, view),
        };
        if let Next::Deliver { position, .. } = next {
            if !is_trial || admits(position, self.messages.rules.is_reordered()) {
                self.queries.message_delivered();
                let wants_reply = self.waiters.get(position).is_some_and(Waiter::wants_reply);
                return Step::Follow(next, wants_reply);
            }
            self.messages.rules.interrupted();
            next = Next::Empty;
        }
        if matches!(next, Next::Durable(_) | Next::Until(_) | Next::Empty) {
            // No message can be handled now, whoever's turn it is.
            if !is_trial && let Some(answer) = self.answer() {
                return answer;
            }
            self.idle_since = sweep();
        }
        Step::Follow(next, false)
    }

    /// Rings a mailbox that nobody works on if something can be done there now. Returns when it can, if that is at a
    /// moment. Nothing need be rung for: the activation that would look at it costs more than the look.
    #[must_use]
    pub(crate) fn rouse<N: FnOnce() -> Steady>(&mut self, mailbox: &Arc<Mailbox>, view: View<N>) -> Option<Steady> {
        let is_quiet = self.queries.is_empty() && !self.is_paused(mailbox) && !self.is_child();
        if !self.is_vacant() || !is_quiet {
            self.ring(mailbox);
            return None;
        }
        let next = self.visible(mailbox, view);
        self.messages.rules.interrupted();
        match next {
            Next::Until(moment) => return Some(moment),
            Next::Empty => {}
            Next::Deliver { .. } | Next::Load(_) | Next::Overdue(_) | Next::Durable(_) => self.ring(mailbox),
        }
        None
    }

    fn visible<N: FnOnce() -> Steady>(&mut self, mailbox: &Mailbox, view: View<N>) -> Next<Bytes> {
        let early = mailbox.actor_type.delivery == Delivery::Pipelined && !view.is_trial;
        self.messages.rules.next(view.now, view.durable, early)
    }

    fn answer(&mut self) -> Option<Step> {
        let query = self.queries.next()?;
        Some(Step::Answer(query, self.last_submitted))
    }
}
