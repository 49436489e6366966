//! Who runs activations. A worker is a ractor actor, a child of the supervisor of its type, which runs the activations
//! of one mailbox after another. An actor for each activation would be a task, four channels and two words to the
//! supervisor each time that one comes into memory, which took half of what a cold message costs.
//!
//! One that is idle waits for a while to be given the next mailbox. What its supervisor sees is the end of a worker,
//! with the mailbox that it has then: by a failure, or by a kill. The end of an activation that leaves the worker sees
//! itself.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use ractor::ActorCell;

use crate::mailbox::Mailbox;

/// How many workers of a type wait for a mailbox at most.
const IDLE_MAX: usize = 1024;

/// What a worker has to do.
#[derive(Debug)]
pub(super) enum Assigned {
    Nothing,
    /// A mailbox whose activation has not begun.
    Given(Arc<Mailbox>),
    /// A mailbox whose activation is there.
    Active(Arc<Mailbox>),
}

#[derive(Debug)]
pub(super) struct Worker {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    assigned: Assigned,
    /// It is given no other mailbox.
    is_over: bool,
    /// Wakes it when it is idle.
    waker: Option<Waker>,
}

impl Worker {
    pub(super) fn given(mailbox: Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { assigned: Assigned::Given(mailbox), is_over: false, waker: None }) })
    }

    /// False when it is over.
    fn give(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut state = self.lock();
        if state.is_over {
            return false;
        }
        state.assigned = Assigned::Given(Arc::clone(mailbox));
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// The next mailbox, whose activation begins. None when there will be no other.
    pub(super) async fn next(&self) -> Option<Arc<Mailbox>> {
        poll_fn(|context| {
            let mut state = self.lock();
            match &state.assigned {
                Assigned::Given(mailbox) => {
                    let mailbox = Arc::clone(mailbox);
                    state.assigned = Assigned::Active(Arc::clone(&mailbox));
                    Poll::Ready(Some(mailbox))
                }
                _ if state.is_over => Poll::Ready(None),
                _ => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The activation has left. False when it is to be killed: that is on its way, and its supervisor sees the end.
    pub(super) fn finish(&self) -> bool {
        let mut state = self.lock();
        if state.is_over {
            return false;
        }
        state.assigned = Assigned::Nothing;
        true
    }

    /// It ends when it is idle, and is given no other mailbox.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// It has ended. Returns what it had to do.
    pub(super) fn ended(&self) -> Assigned {
        let mut state = self.lock();
        state.is_over = true;
        std::mem::replace(&mut state.assigned, Assigned::Nothing)
    }

    /// Kills this mailbox's activation, if it is here: no other one, which may come after it.
    pub(super) fn kill(&self, mailbox: &Arc<Mailbox>, actor: &ActorCell) {
        let mut state = self.lock();
        if state.mailbox().is_some_and(|here| Arc::ptr_eq(here, mailbox)) {
            state.is_over = true;
            actor.kill();
        }
    }

    /// Lets the activation that is here look whether it stays.
    pub(super) fn wake(&self) {
        let mailbox = self.lock().mailbox().cloned();
        if let Some(mailbox) = mailbox {
            mailbox.lock().wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        match &self.assigned {
            Assigned::Nothing => None,
            Assigned::Given(mailbox) | Assigned::Active(mailbox) => Some(mailbox),
        }
    }
}

/// The workers of a type that have nothing to do.
#[derive(Debug, Default)]
pub(super) struct IdleWorkers {
    idle: Mutex<Idle>,
    /// Orders to kill an activation that the supervisor has not come to. Meanwhile whatever starts is left to it: one
    /// that is about to end where it stands may be followed by another one of its mailbox, which is not meant.
    kills: AtomicUsize,
}

#[derive(Debug, Default)]
struct Idle {
    /// The last one is given first, since what it needs is likely in the caches.
    workers: Vec<Arc<Worker>>,
    /// So many at the front were not needed since it was last looked.
    unneeded: usize,
    /// None is kept any more.
    is_closed: bool,
}

impl IdleWorkers {
    /// Gives a mailbox to one of them. False when there is none.
    pub(super) fn give(&self, mailbox: &Arc<Mailbox>) -> bool {
        if self.kills.load(Ordering::SeqCst) > 0 {
            return false;
        }
        while let Some(worker) = self.take() {
            if worker.give(mailbox) {
                return true;
            }
        }
        false
    }

    /// The supervisor is about to be told to kill an activation, whose mailbox is locked.
    pub(super) fn kill_ordered(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    /// It has done so.
    pub(super) fn kill_obeyed(&self) {
        self.kills.fetch_sub(1, Ordering::SeqCst);
    }

    fn take(&self) -> Option<Arc<Worker>> {
        let mut idle = self.lock();
        let worker = idle.workers.pop();
        idle.unneeded = idle.unneeded.min(idle.workers.len());
        worker
    }

    /// Keeps one that has nothing to do. False when there are enough.
    pub(super) fn keep(&self, worker: &Arc<Worker>) -> bool {
        let mut idle = self.lock();
        let is_kept = !idle.is_closed && idle.workers.len() < IDLE_MAX;
        if is_kept {
            idle.workers.push(Arc::clone(worker));
        }
        is_kept
    }

    /// Ends those that were not needed since this was last called.
    pub(super) fn end_unneeded(&self) {
        let unneeded: Vec<_> = {
            let mut idle = self.lock();
            let count = idle.unneeded;
            let unneeded = idle.workers.drain(..count).collect();
            idle.unneeded = idle.workers.len();
            unneeded
        };
        unneeded.iter().for_each(|worker| worker.end());
    }

    /// Ends all, and keeps none from here on.
    pub(super) fn close(&self) {
        let workers = {
            let mut idle = self.lock();
            idle.is_closed = true;
            idle.unneeded = 0;
            std::mem::take(&mut idle.workers)
        };
        workers.iter().for_each(|worker| worker.end());
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use everpost_persistence::Partition;

    use super::*;
    use crate::message::address::Address;
    use crate::supervise::supervision::fixture::idle_type;

    fn mailbox(key: &str) -> Arc<Mailbox> {
        Arc::new(Mailbox::new(Address::new("idle", key), Partition(0), Arc::new(idle_type())))
    }

    /// One that has had its first mailbox, and is idle.
    async fn idle(idle: &IdleWorkers) -> Arc<Worker> {
        let first = mailbox("first");
        let worker = Worker::given(Arc::clone(&first));
        assert!(Arc::ptr_eq(&worker.next().await.unwrap(), &first));
        assert!(worker.finish() && idle.keep(&worker));
        assert_eq!(Arc::strong_count(&first), 1, "nothing is left of it in there");
        worker
    }

    #[tokio::test]
    async fn a_worker_has_mailboxes_one_after_another() {
        let all = IdleWorkers::default();
        let worker = idle(&all).await;
        let (second, third) = (mailbox("second"), mailbox("third"));
        assert!(all.give(&second));
        assert!(!all.give(&third), "it is not idle");
        assert!(Arc::ptr_eq(&worker.next().await.unwrap(), &second));
        assert!(matches!(worker.ended(), Assigned::Active(last) if Arc::ptr_eq(&last, &second)));
    }

    #[tokio::test]
    async fn one_that_has_ended_is_given_nothing() {
        let all = IdleWorkers::default();
        let (ended, goes_on) = (idle(&all).await, idle(&all).await);
        assert!(matches!(ended.ended(), Assigned::Nothing));
        let (second, third) = (mailbox("second"), mailbox("third"));
        assert!(all.give(&second) && !all.give(&third));
        assert!(matches!(goes_on.ended(), Assigned::Given(given) if Arc::ptr_eq(&given, &second)), "it did not begin");
    }

    #[tokio::test]
    async fn nobody_starts_before_a_kill_that_was_ordered_before() {
        let all = IdleWorkers::default();
        let _worker = idle(&all).await;
        all.kill_ordered();
        let second = mailbox("second");
        assert!(!all.give(&second), "the supervisor starts it, in the order of what it is told");
        all.kill_obeyed();
        assert!(all.give(&second));
    }

    #[tokio::test]
    async fn those_that_are_not_needed_for_a_while_end() {
        let all = IdleWorkers::default();
        let workers = [idle(&all).await, idle(&all).await, idle(&all).await];
        all.end_unneeded();
        let needed = mailbox("needed");
        assert!(all.give(&needed));
        let last = &workers[2];
        assert!(Arc::ptr_eq(&last.next().await.unwrap(), &needed) && last.finish() && all.keep(last));
        all.end_unneeded();
        assert!(workers[0].next().await.is_none() && workers[1].next().await.is_none());
        all.close();
        assert!(last.next().await.is_none() && !all.keep(last));
    }
}
