//! When an activation is started, and what follows when it has ended.

use std::collections::VecDeque;
use std::sync::Arc;

use everpost_persistence::Position;

use super::{Core, Release};
use crate::actor::Delivery;
use crate::actor::hold;
use crate::api::query;
use crate::commit::{Supervision, SupervisionChange, Transaction};
use crate::engine::failing;
use crate::mailbox::{Mailbox, Next, Presence};
use crate::wheel::Due;

impl Core {
    pub(crate) fn ring_when_durable(&self, mailbox: &Arc<Mailbox>, position: Position) {
        let mut inner = mailbox.lock();
        if inner.gated {
            return;
        }
        inner.gated = true;
        if self.gate.hold(position, Release::Ring(Arc::clone(mailbox))).is_some() {
            inner.gated = false;
            inner.ring(mailbox);
        }
    }

    /// Rings a mailbox that nobody works on if something can be done there now, and otherwise when it can. Nothing need
    /// be rung for: the activation that would look at it costs more than the look.
    pub(crate) fn rouse(&self, mailbox: &Arc<Mailbox>) {
        let mut inner = mailbox.lock();
        let is_quiet = inner.questions.is_empty() && !mailbox.is_paused(&inner);
        let next = match inner.presence {
            Presence::Absent if is_quiet && inner.attendance.is_none() => {
                let early = mailbox.kind.delivery == Delivery::Pipelined && !self.quarantine.is_active();
                inner.rules.peek(|| self.clock.steady(), self.store.durable(), early)
            }
            _ => return inner.ring(mailbox),
        };
        match next {
            Next::Until(moment) => {
                drop(inner);
                self.ring_at(mailbox, moment);
            }
            Next::Empty => {}
            Next::Deliver { .. } | Next::Load(_) | Next::Overdue(_) | Next::Durable(_) => inner.ring(mailbox),
        }
    }

    /// An activation has ended, and its supervisor has seen it: another may start.
    pub(crate) fn ended(self: &Arc<Self>, mailbox: Arc<Mailbox>) {
        let mut inner = mailbox.lock();
        let held = inner.holding.take().filter(|held| held.is_dropped && !self.is_stopping());
        // One that left found nothing to do, and whatever comes up rings.
        let has_left = matches!(inner.presence, Presence::Stopping) && !inner.rung;
        inner.vacate();
        if inner.rules.in_hand().is_some() {
            // It was ended by a stop, which is no failure of the message.
            inner.rules.interrupted();
        }
        if let Some(held) = held {
            // The handler was cut off where it stood, and its hold went with it.
            let (core, mailbox) = (Arc::clone(self), Arc::clone(&mailbox));
            self.begin_beside_handlers("a hold that was dropped", async move {
                failing::take_back(&core, &mailbox, held.position, Some(held.attempt), hold::dropped()).await;
            });
        }
        if !inner.has_work(&mailbox) {
            drop(inner);
            self.retire(mailbox);
        } else if !has_left && !self.is_stopping() {
            inner.ring(&mailbox);
        }
    }

    /// An activation failed with no message in hand (its state cannot be read, say): wait before the next one, if the
    /// budget of the actor allows it. That of a child of a group is left to the group.
    pub(crate) fn restart_later(self: &Arc<Self>, mailbox: Arc<Mailbox>, error: String) {
        {
            let mut inner = mailbox.lock();
            if inner.attendance.is_some() {
                // Nobody is there to answer them.
                let questions = std::mem::take(&mut inner.questions);
                drop(inner);
                query::lose(questions);
                return self.ended(mailbox);
            }
        }
        let core = Arc::clone(self);
        self.begin("the restart of an activation", async move {
            let error = failing::shortened(error);
            let restarting = Supervision::new(&mailbox, SupervisionChange::Restarts(error));
            let transaction = Transaction::node(&core).with(restarting);
            // Without room for the record the store has failed, and there is no next time.
            let Ok(permit) = transaction.reserve().await else { return };
            transaction.commit_in_any_case(permit);
            let wait = core.config.backoff.delay(mailbox.lock().restarts, rand::random());
            core.wheel.set(None, core.clock.steady().plus(wait), Due::Restart(mailbox));
        });
    }

    /// The wait after an activation that failed is over.
    pub(crate) fn restart(&self, mailbox: &Arc<Mailbox>) {
        let mut inner = mailbox.lock();
        inner.vacate();
        // In a mailbox that is paused nobody is there to answer them.
        let is_paused = mailbox.is_paused(&inner);
        let questions = if is_paused { std::mem::take(&mut inner.questions) } else { VecDeque::new() };
        inner.ring(mailbox);
        drop(inner);
        query::lose(questions);
    }
}
