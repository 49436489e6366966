//! How the doorbell of a mailbox is rung, and what comes of it: the activation is woken, or one is started. What there
//! is to do in the mailbox is asked here; who sees to it is the doorbell's rule (`rules/doorbell.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use everpost_persistence::Position;

use super::handover::Handover;
use super::messages::Messages;
use super::queries::Queries;
use super::rules::doorbell::{Demand, Listened, Rung, Start, Stay};
use super::supervision::Supervision;
use super::{Inner, Mailbox};
use crate::base::clock::Steady;
use crate::base::rules::wheel::Entry;
use crate::mailbox::query::Open;

/// What an activation that has ended leaves behind.
pub(crate) struct Ended {
    /// A message that its handler had handed over to a holder, and did not live to say so.
    pub(crate) handover: Option<Handover>,
    /// Nothing is left to do: the mailbox may leave memory.
    pub(crate) is_over: bool,
}

/// Who rings.
impl Inner {
    /// Something may have to be done: wakes the activation, or has one started when there is none.
    pub(crate) fn ring(&mut self, mailbox: &Arc<Mailbox>) {
        let demand = || demand(&self.messages, &self.queries, &self.supervision, mailbox);
        match self.doorbell.ring(demand) {
            Rung::Seen => {}
            Rung::Wake(listener) => listener.wake(),
            Rung::Start { in_any_case } => {
                let start = mailbox.actor_type.start(mailbox, in_any_case);
                self.doorbell.started(start);
            }
        }
    }

    /// There is a place for its activation, which was taken for it. False when it needs none any more.
    pub(crate) fn start_at_place(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        let demand = || demand(&self.messages, &self.queries, &self.supervision, mailbox);
        if !self.doorbell.place_given(demand) {
            return false;
        }
        let start = mailbox.actor_type.start_at_place(mailbox);
        self.doorbell.started(start);
        start == Start::Ordered
    }

    /// The gate is to ring when something is durable that is not yet. False when it will already.
    pub(crate) fn gate(&mut self) -> bool {
        self.doorbell.gate()
    }

    /// The gate rings.
    pub(crate) fn ring_from_gate(&mut self, mailbox: &Arc<Mailbox>) {
        self.doorbell.gate_opened();
        self.ring(mailbox);
    }

    /// The wheel is to ring at that moment, unless it does before. `set` sets that, in place of what it is given.
    pub(crate) fn ring_at(&mut self, moment: Steady, set: impl FnOnce(Option<Entry>) -> Entry) {
        self.doorbell.set_alarm(moment, set);
    }

    /// The wheel rings.
    pub(crate) fn ring_from_wheel(&mut self, entry: Entry, mailbox: &Arc<Mailbox>) {
        self.doorbell.alarm_went(entry);
        self.ring(mailbox);
    }

    /// Where no message waits the wheel need not ring any more: what it was to do, if it was.
    pub(crate) fn take_needless_alarm(&mut self) -> Option<Entry> {
        if self.messages.rules.is_empty() { self.doorbell.take_alarm() } else { None }
    }
}

/// An activation, from its start to its end.
impl Inner {
    /// The activation that was ordered is there.
    pub(crate) fn begun(&mut self) {
        self.doorbell.begun();
    }

    /// The activation found nothing to do, and waits for the doorbell. False when it is time to leave: from then on no
    /// message reaches it.
    pub(crate) fn listen(&mut self, is_stopping: bool, listener: &Waker) -> Poll<bool> {
        let stay = if is_stopping { Stay::No } else { self.stay() };
        match self.doorbell.listen(stay, || listener.clone()) {
            Listened::Rung => Poll::Ready(true),
            Listened::Leaves => Poll::Ready(false),
            Listened::Waits => Poll::Pending,
        }
    }

    /// The activation is to leave when it has nothing to do.
    pub(crate) fn leave_when_idle(&mut self) {
        self.doorbell.leave_when_idle();
    }

    /// Tells an activation that has nothing to do to leave. False when there is none, or it stays.
    pub(crate) fn tell_to_leave(&mut self) -> bool {
        let listener = self.doorbell.tell_to_leave(self.stay());
        let is_told = listener.is_some();
        listener.into_iter().for_each(Waker::wake);
        is_told
    }

    /// The sweep at which there was nothing to do any more.
    pub(crate) fn idle_since(&self) -> u64 {
        self.idle_since
    }

    /// Lets a waiting activation look whether it stays.
    pub(crate) fn wake(&mut self) {
        self.doorbell.wake().into_iter().for_each(Waker::wake);
    }

    /// The activation has ended, and its supervisor has seen it: another one is started if there is something to do.
    pub(crate) fn ended(&mut self, mailbox: &Arc<Mailbox>, is_stopping: bool) -> Ended {
        let handover = self.handover.take();
        let has_left = self.vacate();
        let is_over = !self.has_work(mailbox);
        // One that left found nothing to do, and whatever comes up rings.
        if !is_over && !has_left && !is_stopping {
            self.ring(mailbox);
        }
        Ended { handover, is_over }
    }

    /// Nobody is there any more. True when the last activation has left because there was nothing to do, and nobody has
    /// rung since.
    pub(crate) fn vacate(&mut self) -> bool {
        // It was ended by a stop, which is no failure of the message.
        self.messages.rules.interrupted();
        self.handover = None;
        self.supervision.tell_group();
        self.doorbell.vacate()
    }

    /// The wait after an activation that failed is over: another one starts. Nobody is there to answer the queries
    /// that are returned.
    #[must_use]
    pub(crate) fn restart(&mut self, mailbox: &Arc<Mailbox>) -> VecDeque<Box<dyn Open>> {
        self.vacate();
        let queries = if self.is_paused(mailbox) { self.take_queries() } else { VecDeque::new() };
        self.ring(mailbox);
        queries
    }

    /// Whether nobody is there, or on the way.
    pub(crate) fn is_vacant(&self) -> bool {
        self.doorbell.is_vacant()
    }
}

/// What there is to do.
impl Inner {
    /// Whether messages are handled for now: neither the actor nor its type is paused.
    pub(crate) fn is_paused(&self, mailbox: &Mailbox) -> bool {
        self.supervision.is_paused() || mailbox.actor_type.is_paused()
    }

    /// Whether nothing of what waits can be handled for a while, whatever comes besides.
    pub(crate) fn rests(&self, mailbox: &Mailbox, now: impl FnOnce() -> Steady) -> bool {
        self.is_paused(mailbox) || self.messages.rules.backs_off(now)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.messages.rules.is_empty() && self.queries.is_empty()
    }

    /// Whether there is something to do now or later; messages of a paused mailbox are not, being up as a child is.
    pub(crate) fn has_work(&self, mailbox: &Mailbox) -> bool {
        demand(&self.messages, &self.queries, &self.supervision, mailbox) != Demand::No
    }

    /// Whether nothing in memory is worth keeping, given what the store has on disk.
    pub(super) fn is_forgettable(&self, durable: Position) -> bool {
        let is_idle = self.is_vacant() && self.is_idle();
        is_idle && self.supervision.is_plain() && self.last_submitted <= durable
    }

    fn stay(&self) -> Stay {
        let has_queries = !self.queries.is_empty();
        match self.supervision.membership.as_deref() {
            Some(membership) if membership.has_work(has_queries) => Stay::Yes,
            Some(_) => Stay::No,
            None if has_queries => Stay::Yes,
            None => Stay::UntilTold,
        }
    }
}

/// Whether an activation is wanted where there is none.
fn demand(messages: &Messages, queries: &Queries, supervision: &Supervision, mailbox: &Mailbox) -> Demand {
    if supervision.barred().is_some() {
        return Demand::No;
    }
    let has_queries = !queries.is_empty();
    match supervision.membership.as_deref() {
        Some(membership) if membership.has_work(has_queries) => Demand::InAnyCase,
        Some(_) => Demand::No,
        None if !has_queries
            && (messages.rules.is_empty() || mailbox.actor_type.is_paused() || supervision.is_paused()) =>
        {
            Demand::No
        }
        None if messages.is_awaited() => Demand::InAnyCase,
        None => Demand::Yes,
    }
}
