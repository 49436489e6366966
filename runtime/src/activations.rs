//! How many activations there are: who may be started now, and who waits until another one leaves.
//!
//! There is one line for all that starts activations: messages, moments, questions, and whoever rouses many mailboxes, one after
//! another ([`Core::rouse_all`]). Nobody waits in it whom an activation waits for that is there: who is asked from a turn,
//! the child of a group, and what is on trial start in any case. What else a handler may wait for is not known; so when nobody has left for
//! a while, more are let in, twice as many each time.

mod line;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use self::line::Places;
use crate::base::count::Count;
use crate::core::Core;
use crate::mailbox::Mailbox;

/// How long it is waited for an activation to leave. What they wait for may come of one that is not there yet.
const PATIENCE: Duration = Duration::from_secs(1);
/// As what part of all that may be there idle ones are told to leave at least, so that they are not looked for at each start.
const LEAVING_PARTS: usize = 16;

/// The activations of a node. Locked after mailboxes.
#[derive(Debug)]
pub(crate) struct Activations {
    running: Count,
    max: usize,
    places: Mutex<Places<Waiting>>,
    /// Somebody waits, so that no activation stays idle.
    is_crowded: AtomicBool,
    /// Rung when somebody joins the line.
    joined: Notify,
}

/// Who waits for a place.
#[derive(Debug)]
enum Waiting {
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

    /// Takes a place for an activation that is to be started, or puts its mailbox, which is locked, into the line and returns false.
    pub(crate) fn take_place(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> bool {
        let mut places = self.lock();
        if in_any_case || places.has_room() {
            places.take();
            return true;
        }
        self.join(places, Waiting::Mailbox(Arc::clone(mailbox)));
        false
    }

    /// The place of an activation that was not started after all, or has ended. The next in the line gets it.
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
    async fn has_place(&self) {
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
    fn let_in(&self) {
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
                    if !mailbox.lock().start_at_last(&mailbox) {
                        self.lock().give_back();
                    }
                }
                Some(Waiting::Rousing(notify)) => notify.notify_one(),
                None => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places<Waiting>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees to it that those who wait for a place get one, for as long as the node runs: idle activations leave for them, and where nothing
/// goes on more are let in.
pub(crate) async fn keep_moving(core: Arc<Core>) {
    let activations = &core.activations;
    let (mut moves, mut since) = (0, Instant::now());
    // When it was looked for idle ones in vain.
    let mut in_vain: Option<Instant> = None;
    loop {
        if !activations.lock().is_waited_for() {
            activations.joined.notified().await;
            (moves, since) = (activations.lock().moves(), Instant::now());
        }
        if in_vain.is_none_or(|looked| looked.elapsed() >= PATIENCE) {
            let wanted = activations.lock().too_many(activations.max / LEAVING_PARTS);
            let told = core.tell_idle_to_leave(wanted);
            activations.lock().told_to_leave(told);
            in_vain = (told < wanted).then(Instant::now);
        }
        // Rung by each that joins, too.
        let _ = timeout(PATIENCE.saturating_sub(since.elapsed()), activations.joined.notified()).await;
        if since.elapsed() >= PATIENCE {
            // Where no handler is polled nothing can go on, and more of them would not help.
            if !core.handlers_go_on().await {
                return;
            }
            let moved = activations.lock().moves();
            if moved == moves && activations.lock().is_waited_for() {
                activations.lock().raise();
                activations.let_in();
            }
            (moves, since) = (activations.lock().moves(), Instant::now());
        }
    }
}

impl Core {
    /// Rouses mailboxes one after another, each when there is a place for its activation.
    pub(crate) async fn rouse_all(&self, mailboxes: Vec<Arc<Mailbox>>) {
        for mailbox in mailboxes {
            self.activations.has_place().await;
            if self.is_stopping() {
                return;
            }
            self.rouse(&mailbox);
        }
    }

    /// Tells up to so many activations that have nothing to do to leave. Returns how many were told.
    fn tell_idle_to_leave(&self, wanted: usize) -> usize {
        let mut told = 0;
        if wanted > 0 {
            self.directory.for_each(|mailbox| {
                if told < wanted {
                    let mut inner = mailbox.lock();
                    if inner.may_leave() {
                        inner.leave_if_idle = true;
                        inner.wake();
                        told += 1;
                    }
                }
            });
        }
        told
    }
}
