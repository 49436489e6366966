//! How many activations there are: who may be started now, and who waits until another one leaves.
//!
//! There is one queue for all that starts activations: messages, moments, questions, and whoever rouses many mailboxes, one after
//! another (`engine/crowding.rs`). Nobody waits in it whom an activation waits for that is there: who is asked from a turn,
//! the child of a group, and what is on trial start in any case. What else a handler may wait for is not known; so when nobody has left for
//! a while, more are let in, twice as many each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::base::count::Count;
use crate::base::sync::{Mutex, MutexGuard, PoisonError};
use crate::core::rules::places::Places;
use crate::mailbox::Mailbox;

/// The activations of a node. Locked after mailboxes.
#[derive(Debug)]
pub(crate) struct Activations {
    running: Count,
    pub(crate) max: usize,
    places: Mutex<Places<Waiting>>,
    /// Somebody waits, so that no activation stays idle.
    is_crowded: AtomicBool,
    /// Rung when somebody joins the queue.
    pub(crate) joined: Notify,
}

/// Who waits for a place.
#[derive(Debug)]
pub(crate) enum Waiting {
    Mailbox(Arc<Mailbox>),
    /// Whoever rouses mailboxes wants to know that there is one.
    Rousing(Arc<Notify>),
}

impl Activations {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            running: Count::default(),
            max,
            places: Mutex::new(Places::new(max)),
            is_crowded: AtomicBool::new(false),
            joined: Notify::new(),
        }
    }

    /// Takes a place for an activation that is to be started, or puts its mailbox, which is locked, into the queue and returns false.
    pub(crate) fn take_place(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> bool {
        let mut places = self.lock();
        if in_any_case || places.has_room() {
            places.take();
            return true;
        }
        self.join(places, Waiting::Mailbox(Arc::clone(mailbox)));
        false
    }

    /// The place of an activation that was not started after all, or has ended. The next in the queue gets it.
    pub(crate) fn give_place_back(&self) {
        self.lock().give_back();
        self.let_in();
    }

    /// The same of a mailbox that is locked, while the node stops: nobody else is let in.
    pub(crate) fn return_place(&self) {
        self.lock().give_back();
    }

    /// An activation is there, at the place that was taken for it.
    pub(crate) fn enter(&self) {
        self.running.add(1);
    }

    /// It has ended.
    pub(crate) fn leave(&self) {
        self.running.take(1);
        self.give_place_back();
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
        for waiting in waiting {
            if let Waiting::Rousing(notify) = waiting {
                notify.notify_one();
            }
        }
    }

    /// Completes when there is a place, or the node has ended. Takes none: what is roused may need none.
    pub(crate) async fn has_place(&self) {
        let notify = Arc::new(Notify::new());
        {
            let mut places = self.lock();
            if places.has_room() {
                return;
            }
            self.join(places, Waiting::Rousing(Arc::clone(&notify)));
        }
        notify.notified().await;
    }

    fn join(&self, mut places: MutexGuard<'_, Places<Waiting>>, waiting: Waiting) {
        places.join(waiting);
        self.is_crowded.store(true, Ordering::Relaxed);
        drop(places);
        self.joined.notify_one();
    }

    /// Gives the places that there are to those who wait, in order. No mailbox is locked.
    pub(crate) fn let_in(&self) {
        loop {
            let next = {
                let mut places = self.lock();
                let next = places.next();
                if let Some(Waiting::Mailbox(_)) = next {
                    places.take();
                }
                self.is_crowded.store(places.is_waited_for(), Ordering::Relaxed);
                next
            };
            match next {
                Some(Waiting::Mailbox(mailbox)) => {
                    // It may need none any more, or has got one in any case.
                    if !mailbox.lock().start_at_place(&mailbox) {
                        self.lock().give_back();
                    }
                }
                Some(Waiting::Rousing(notify)) => notify.notify_one(),
                None => return,
            }
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Places<Waiting>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
