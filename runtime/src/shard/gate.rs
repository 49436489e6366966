//! The output gate: nothing leaves before the commit that it builds on is durable. What is to leave waits here as data,
//! with the position that must be durable first; a commit only moves the watermark. Of little the store's own thread
//! lets out what that covers, since nobody has to be woken for it. Of much a task does, while the store goes on with
//! the next commit.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use everpost_persistence::{Position, Store};
use tokio::sync::{Notify, SetOnce};

use crate::base::ended::NodeEnded;
use crate::base::rules::wakers::{Place, Wakers};

/// How much the store's own thread lets out. It takes some microseconds; to wake the task for it would take as long.
const AT_ONCE_MAX: usize = 32;

/// What no position is beyond.
const EVERYTHING: Position = Position(u64::MAX);

/// Holds back effects of type `E` until the store is durable up to their position.
pub(crate) struct Gate<E> {
    store: Store,
    waiting: Mutex<Waiting<E>>,
    /// Rung when there is something for the task to let out.
    progress: Notify,
    /// Rung after every commit, when what it frees has left.
    commits: Notify,
    /// Set once there will be no more commits.
    end: SetOnce<NodeEnded>,
}

impl<E> Gate<E> {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, waiting: Mutex::default(), progress: Notify::new(), commits: Notify::new(), end: SetOnce::new() }
    }

    /// Lets `effect` out once `after` is durable. Hands it back when that is so already.
    pub(crate) fn hold(&self, after: Position, effect: E) -> Option<E> {
        let mut waiting = self.lock();
        // Asked under the lock: a commit that comes later finds the effect in the queue.
        if after <= self.store.durable() {
            return Some(effect);
        }
        if self.is_over() {
            // It will never be free, and whoever waits for it is told by its end; outside of the lock.
            drop(waiting);
            drop(effect);
            return None;
        }
        waiting.effects.push((after, effect));
        drop(waiting);
        self.store.hurry(after);
        None
    }

    /// Completes when `after` is durable.
    ///
    /// # Errors
    ///
    /// The node ended before: whether `after` is on disk is unknown.
    pub(crate) fn durable(&self, after: Position) -> Durability<'_, E> {
        Durability { gate: self, after, place: None }
    }

    /// Something was committed, or the store has failed: lets out what is free, by `release` or by the task.
    pub(crate) fn committed(&self, release: impl FnMut(E)) {
        if self.store.failure().is_some() || self.lock().len() > AT_ONCE_MAX {
            self.progress.notify_one();
        } else {
            // A failure that comes now is told of by itself.
            self.let_out(release, false);
        }
    }

    /// Hands every effect that is free to `release`, whenever there is much of it, until the store fails or the gate is
    /// closed.
    pub(crate) async fn run(&self, mut release: impl FnMut(E)) {
        loop {
            let progress = self.progress.notified();
            let is_over = self.is_over() || self.store.failure().is_some();
            self.open(&mut release);
            if is_over {
                return;
            }
            progress.await;
        }
    }

    /// Hands every effect that is free now to `release`.
    pub(crate) fn open(&self, release: impl FnMut(E)) {
        self.let_out(release, self.store.failure().is_some());
    }

    fn let_out(&self, release: impl FnMut(E), failed: bool) {
        let Opened { effects, wakers, lost } = self.lock().open(self.store.durable(), failed);
        // Not under the lock: dropping one may run anything.
        drop(lost);
        wakers.into_iter().for_each(Waker::wake);
        effects.into_iter().for_each(release);
        self.commits.notify_waiters();
    }

    /// There will be no more commits: whoever waits for one is told, and whoever comes later. The first reason stays.
    pub(crate) fn close(&self, why: NodeEnded) {
        // Before the lock: whoever looks under it and does not see this is found in the queue.
        let _ = self.end.set(why);
        let Waiting { effects, mut wakers } = std::mem::take(&mut *self.lock());
        wakers.take(EVERYTHING).into_iter().for_each(Waker::wake);
        drop(effects);
        self.commits.notify_waiters();
        self.progress.notify_one();
    }

    /// Completes when there will be no more commits, with the reason.
    pub(crate) async fn over(&self) -> NodeEnded {
        self.end.wait().await.clone()
    }

    /// Whether there will be no more commits.
    pub(crate) fn is_over(&self) -> bool {
        self.end.get().is_some()
    }

    /// Lets those who wait for a condition ask again, although nothing was committed.
    pub(crate) fn look_again(&self) {
        self.commits.notify_waiters();
    }

    /// Why nothing more will become durable, for whoever has found out.
    pub(crate) fn ended(&self) -> NodeEnded {
        let failed = || self.store.failure().map_or(NodeEnded::Stopped, NodeEnded::Failed);
        self.end.get().cloned().unwrap_or_else(failed)
    }

    /// Completes when `condition` holds; asks again after every commit.
    ///
    /// # Errors
    ///
    /// The node ended before.
    pub(crate) async fn until(&self, mut condition: impl FnMut() -> bool) -> Result<(), NodeEnded> {
        loop {
            let mut commit = pin!(self.commits.notified());
            commit.as_mut().enable();
            if condition() {
                return Ok(());
            }
            if self.is_over() || self.store.failure().is_some() {
                return Err(self.ended());
            }
            self.store.hurry(EVERYTHING);
            commit.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> fmt::Debug for Gate<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("durable", &self.store.durable()).finish_non_exhaustive()
    }
}

/// Pure: what waits, in no order, since a commit frees nearly all of it.
#[derive(Debug)]
struct Waiting<E> {
    effects: Vec<(Position, E)>,
    wakers: Wakers,
}

impl<E> Default for Waiting<E> {
    fn default() -> Self {
        Self { effects: Vec::new(), wakers: Wakers::default() }
    }
}

impl<E> Waiting<E> {
    fn len(&self) -> usize {
        self.effects.len() + self.wakers.len()
    }

    /// Takes out what `durable` frees. After a failure every waiter is woken, to find out, and the other effects are
    /// lost: they will never be free.
    fn open(&mut self, durable: Position, failed: bool) -> Opened<E> {
        let effects = self.effects.extract_if(.., |(after, _)| *after <= durable).map(|(_, effect)| effect).collect();
        let wakers = self.wakers.take(if failed { EVERYTHING } else { durable });
        let lost = if failed { std::mem::take(&mut self.effects) } else { Vec::new() };
        Opened { effects, wakers, lost }
    }
}

/// What was taken out.
struct Opened<E> {
    effects: Vec<E>,
    wakers: Vec<Waker>,
    lost: Vec<(Position, E)>,
}

/// Completes when a position is durable; see [`Gate::durable`].
pub(crate) struct Durability<'a, E> {
    gate: &'a Gate<E>,
    after: Position,
    /// Where it waits, if it does.
    place: Option<Place>,
}

impl<E> Durability<'_, E> {
    fn is_durable(&self) -> bool {
        self.after <= self.gate.store.durable()
    }
}

impl<E> Future for Durability<'_, E> {
    type Output = Result<(), NodeEnded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = self.gate;
        // Dropped after the lock.
        let _before;
        if !self.is_durable() {
            let mut waiting = gate.lock();
            // Asked under the lock: a commit that comes later finds it there.
            if !self.is_durable() {
                if gate.is_over() || gate.store.failure().is_some() {
                    return Poll::Ready(Err(gate.ended()));
                }
                let after = self.after;
                _before = waiting.wakers.wait(&mut self.place, after, context.waker());
                drop(waiting);
                gate.store.hurry(after);
                return Poll::Pending;
            }
        }
        // The commit takes it out.
        self.place = None;
        Poll::Ready(Ok(()))
    }
}

impl<E> Drop for Durability<'_, E> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.gate.lock().wakers.leave(place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_position_is_durable() {
        let mut waiting = Waiting::default();
        for position in [5, 2, 9, 2] {
            waiting.effects.push((Position(position), position));
        }
        assert!(waiting.open(Position(1), false).effects.is_empty());
        assert_eq!(waiting.open(Position(5), false).effects, [5, 2, 2]);
        assert_eq!(waiting.open(Position(9), false).effects, [9]);
    }

    #[test]
    fn a_failed_store_frees_nothing_more() {
        let mut waiting = Waiting { effects: vec![(Position(3), 3), (Position(8), 8)], ..Waiting::default() };
        assert_eq!(waiting.open(Position(5), true).effects, [3]);
        assert!(waiting.effects.is_empty(), "whoever waits for them is told by their end");
    }

    #[test]
    fn a_failure_wakes_every_waiter() {
        let mut waiting = Waiting::<()>::default();
        waiting.wakers.wait(&mut None, Position(7), Waker::noop());
        assert_eq!(waiting.open(Position(1), false).wakers.len(), 0);
        assert_eq!(waiting.open(Position(1), true).wakers.len(), 1);
    }
}
