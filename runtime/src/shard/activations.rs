//! How many activations there are: who may be started now, and who waits until another one leaves.
//!
//! All that starts activations waits in the same way: messages, moments, queries, and whoever rouses many mailboxes,
//! one after another (`engine/rousing.rs`). Actor types have places in turn, so that none waits behind all of a backlog
//! of another one. Nobody waits in it whom an activation waits for that is there: who is asked from a turn, the child
//! of a group, and what is on trial start in any case. What else a handler may wait for is not known; so when nobody
//! has left for a while, more are let in, twice as many each time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everpost_persistence::MailboxId;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;

use crate::base::count::Count;
use crate::base::sync::{Mutex, MutexGuard, PoisonError};
use crate::mailbox::Mailbox;
use crate::shard::rules::places::{Class, Places};

/// The activations of a node. Locked after mailboxes.
#[derive(Debug)]
pub(crate) struct Activations {
    /// As many as are in `mailboxes`, and those of a node that has ended; read without a lock, after each turn.
    running: Count,
    /// The mailboxes that have one: far fewer than there are mailboxes. None when the node has ended, or those that
    /// never leave would be kept for ever.
    mailboxes: Mutex<Option<ActiveById>>,
    pub(crate) max: usize,
    places: Mutex<Places<Waiting>>,
    /// Somebody waits for whom somebody has to leave, so that no activation stays idle.
    is_crowded: AtomicBool,
    /// Rung when somebody joins the queue.
    pub(crate) joined: Notify,
}

/// An activation that is there.
#[derive(Debug)]
struct Active {
    mailbox: Arc<Mailbox>,
    /// Its state is loaded.
    has_started: bool,
}

type ActiveById = HashMap<MailboxId, Active, FxBuildHasher>;

/// Who waits for a place.
#[derive(Debug)]
pub(crate) enum Waiting {
    Mailbox(Arc<Mailbox>),
    /// Whoever rouses mailboxes, so many, wants to know that there is one; after it was its turn as often, since they
    /// go in together.
    Rousing(Arc<Notify>, usize),
}

impl Waiting {
    fn class(&self) -> Class {
        match self {
            Self::Mailbox(mailbox) => Class(Arc::as_ptr(&mailbox.actor_type) as usize),
            Self::Rousing(..) => Class(0),
        }
    }
}

/// A place that was taken for a mailbox. Should a panic keep it from being used, the mailbox waits for one again.
struct Place<'a> {
    activations: &'a Activations,
    waiting: Option<Arc<Mailbox>>,
}

impl Place<'_> {
    fn start(&mut self) {
        let Some(mailbox) = &self.waiting else { return };
        // It may need none any more, or has got one in any case.
        if !mailbox.lock().start_at_place(mailbox) {
            self.activations.lock().give_back(false);
        }
        self.waiting = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.waiting.take() {
            let mut places = self.activations.lock();
            places.give_back(false);
            self.activations.join(places, Waiting::Mailbox(mailbox));
        }
    }
}

impl Activations {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            running: Count::default(),
            mailboxes: Mutex::new(Some(ActiveById::default())),
            max,
            places: Mutex::new(Places::new(max)),
            is_crowded: AtomicBool::new(false),
            joined: Notify::new(),
        }
    }

    /// Takes a place for an activation that is to be started, or puts its mailbox, which is locked, into the queue and
    /// returns false.
    pub(crate) fn take_place(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> bool {
        let mut places = self.lock();
        if in_any_case || places.has_room() {
            places.take();
            return true;
        }
        self.join(places, Waiting::Mailbox(Arc::clone(mailbox)));
        false
    }

    /// The place of an activation that was not started after all. Who is next gets it.
    pub(crate) fn give_place_back(&self) {
        self.lock().give_back(false);
        self.let_in();
    }

    /// The same of a mailbox that is locked, while the node stops: nobody else is let in.
    pub(crate) fn return_place(&self) {
        self.lock().give_back(false);
    }

    /// An activation is there, at the place that was taken for it. The mailbox is not locked.
    pub(crate) fn enter(&self, mailbox: &Arc<Mailbox>) {
        self.running.add(1);
        if let Some(running) = &mut *self.mailboxes() {
            running.insert(mailbox.id(), Active { mailbox: Arc::clone(mailbox), has_started: false });
        }
    }

    /// It has loaded its state. No mailbox is locked.
    pub(crate) fn started(&self, mailbox: &Mailbox) {
        let is_first = match &mut *self.mailboxes() {
            Some(running) => {
                running.get_mut(&mailbox.id()).is_some_and(|active| !std::mem::replace(&mut active.has_started, true))
            }
            None => false,
        };
        if is_first {
            self.lock().started();
            self.let_in();
        }
    }

    /// It has ended. No mailbox is locked.
    pub(crate) fn leave(&self, mailbox: &Mailbox) {
        let active = self.mailboxes().as_mut().and_then(|running| running.remove(&mailbox.id()));
        self.running.take(1);
        self.lock().give_back(active.is_some_and(|active| active.has_started));
        self.let_in();
    }

    /// Mailboxes that have an activation right now, so many at most.
    pub(crate) fn some(&self, at_most: usize) -> Vec<Arc<Mailbox>> {
        let running = self.mailboxes();
        running.as_ref().map_or_else(Vec::new, |running| {
            running.values().take(at_most).map(|active| Arc::clone(&active.mailbox)).collect()
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.running.get()
    }

    /// Whether one that has nothing to do leaves at once.
    pub(crate) fn are_too_many(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed) || self.count() > self.max
    }

    /// Nobody is waited for any more: the node has ended.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut places = self.lock();
            self.is_crowded.store(false, Ordering::Relaxed);
            places.close()
        };
        let running = self.mailboxes().take();
        drop(running);
        for waiting in waiting {
            if let Waiting::Rousing(notify, _) = waiting {
                notify.notify_one();
            }
        }
    }

    /// Completes when there is a place for the first of so many, or the node has ended. Takes none: what is roused may
    /// need none.
    pub(crate) async fn has_place(&self, roused: usize) {
        let notify = Arc::new(Notify::new());
        {
            let mut places = self.lock();
            if places.has_room() {
                return;
            }
            self.join(places, Waiting::Rousing(Arc::clone(&notify), roused));
        }
        notify.notified().await;
    }

    fn join(&self, mut places: MutexGuard<'_, Places<Waiting>>, waiting: Waiting) {
        places.join(waiting.class(), waiting);
        let is_crowded = places.are_used_up();
        self.is_crowded.store(is_crowded, Ordering::Relaxed);
        drop(places);
        self.joined.notify_one();
    }

    /// Gives the places that there are to those who wait, in order. No mailbox is locked.
    pub(crate) fn let_in(&self) {
        while let Some(next) = self.next() {
            match next {
                Waiting::Mailbox(mailbox) => Place { activations: self, waiting: Some(mailbox) }.start(),
                Waiting::Rousing(notify, _) => notify.notify_one(),
            }
        }
    }

    /// Who is next, if there is a place, which is taken if it is a mailbox.
    fn next(&self) -> Option<Waiting> {
        let mut places = self.lock();
        let next = loop {
            match places.next() {
                Some(Waiting::Rousing(notify, turns)) if turns > 1 => {
                    let waiting = Waiting::Rousing(notify, turns - 1);
                    places.join(waiting.class(), waiting);
                }
                next => break next,
            }
        };
        if let Some(Waiting::Mailbox(_)) = next {
            places.go_in();
        }
        self.is_crowded.store(places.is_waited_for() && places.are_used_up(), Ordering::Relaxed);
        next
    }

    fn mailboxes(&self) -> MutexGuard<'_, Option<ActiveById>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Places<Waiting>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use everpost_persistence::Partition;

    use super::*;
    use crate::message::address::Address;
    use crate::supervise::supervision::fixture::idle_type;

    fn mailbox(key: &str) -> Arc<Mailbox> {
        let actor_type = Arc::new(idle_type());
        Arc::new(Mailbox::new(Address::new("idle", key), Partition(0), actor_type))
    }

    #[test]
    fn those_that_are_there_are_known_and_nothing_is_kept_of_a_node_that_has_ended() {
        let activations = Activations::new(8);
        let (left, stays, late) = (mailbox("left"), mailbox("stays"), mailbox("late"));
        activations.enter(&left);
        activations.enter(&stays);
        activations.leave(&left);
        let all = activations.some(8);
        assert!(matches!(&*all, [only] if Arc::ptr_eq(only, &stays)), "{all:?}");
        assert_eq!((activations.count(), Arc::strong_count(&left)), (1, 1));
        drop(all);
        activations.close();
        activations.enter(&late);
        assert_eq!((Arc::strong_count(&stays), Arc::strong_count(&late)), (1, 1), "whoever never leaves is not kept");
        activations.leave(&late);
        assert!(activations.some(8).is_empty());
    }

    #[test]
    fn whoever_was_given_a_place_that_a_panic_kept_from_being_used_waits_for_one_again() {
        let activations = Activations::new(1);
        let (first, second) = (mailbox("first"), mailbox("second"));
        assert!(activations.take_place(&first, false) && !activations.take_place(&second, false));
        activations.lock().give_back(false);
        let Some(Waiting::Mailbox(next)) = activations.lock().next() else { panic!("nobody waits") };
        activations.lock().take();
        drop(Place { activations: &activations, waiting: Some(next) });
        let again = activations.lock().next();
        assert!(matches!(again, Some(Waiting::Mailbox(next)) if Arc::ptr_eq(&next, &second)));
    }

    /// What is roused together would all be in memory otherwise before the first of it has a place.
    #[test]
    fn whoever_rouses_many_goes_on_after_as_many_others() {
        let activations = Activations::new(1);
        let [first, second, third] = ["first", "second", "third"].map(mailbox);
        assert!(activations.take_place(&first, false) && !activations.take_place(&second, false));
        assert!(!activations.take_place(&third, false));
        let mut rousing = pin!(activations.has_place(2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(rousing.as_mut().poll(&mut context).is_pending());
        for expected in [&second, &third] {
            activations.lock().give_back(false);
            let next = activations.next();
            assert!(matches!(&next, Some(Waiting::Mailbox(next)) if Arc::ptr_eq(next, expected)), "{next:?}");
        }
        activations.lock().give_back(false);
        activations.let_in();
        assert!(rousing.as_mut().poll(&mut context).is_ready());
    }
}
