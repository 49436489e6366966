//! Where activations run. A seat is a ractor actor, a child of the supervisor of its type; mailboxes have it one after
//! another. An actor for each activation would be a task, four channels and two words to the supervisor each time that
//! one comes into memory, which took half of what a cold message costs.
//!
//! One that is free waits for a while to be given to the next mailbox. What its supervisor sees is the end of a seat,
//! with whoever has it then: by a failure, or by a kill. To the end of an activation that leaves its seat sees.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use ractor::ActorCell;

use crate::mailbox::Mailbox;

/// How many seats of a type wait for a mailbox at most.
const FREE_MAX: usize = 1024;

/// Who has a seat.
#[derive(Debug)]
pub(super) enum Occupant {
    Nobody,
    /// Its activation has not begun.
    Given(Arc<Mailbox>),
    /// Its activation is there.
    Active(Arc<Mailbox>),
}

#[derive(Debug)]
pub(super) struct Seat {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    occupant: Occupant,
    /// Nobody else gets it.
    is_over: bool,
    /// Wakes it when it is free.
    waker: Option<Waker>,
}

impl Seat {
    pub(super) fn given_to(mailbox: Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { occupant: Occupant::Given(mailbox), is_over: false, waker: None }) })
    }

    /// False when it is over.
    fn give(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut state = self.lock();
        if state.is_over {
            return false;
        }
        state.occupant = Occupant::Given(Arc::clone(mailbox));
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// The mailbox that has it next, from here on. None when it is over.
    pub(super) async fn next(&self) -> Option<Arc<Mailbox>> {
        poll_fn(|context| {
            let mut state = self.lock();
            match &state.occupant {
                Occupant::Given(mailbox) => {
                    let mailbox = Arc::clone(mailbox);
                    state.occupant = Occupant::Active(Arc::clone(&mailbox));
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
    pub(super) fn vacate(&self) -> bool {
        let mut state = self.lock();
        if state.is_over {
            return false;
        }
        state.occupant = Occupant::Nobody;
        true
    }

    /// It is over when it is free: nobody gets it any more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The seat has ended. Returns who had it.
    pub(super) fn ended(&self) -> Occupant {
        let mut state = self.lock();
        state.is_over = true;
        std::mem::replace(&mut state.occupant, Occupant::Nobody)
    }

    /// Kills this mailbox's activation, if it is here: no other one, which may have the seat after it.
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
        match &self.occupant {
            Occupant::Nobody => None,
            Occupant::Given(mailbox) | Occupant::Active(mailbox) => Some(mailbox),
        }
    }
}

/// The seats of a type that are free.
#[derive(Debug, Default)]
pub(super) struct Seats {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// The last one is given first, since what it needs is likely in the caches.
    seats: Vec<Arc<Seat>>,
    /// So many at the front were not needed since it was last looked.
    unneeded: usize,
    /// None is kept any more.
    is_closed: bool,
}

impl Seats {
    /// Gives one to a mailbox. False when none is free.
    pub(super) fn give(&self, mailbox: &Arc<Mailbox>) -> bool {
        while let Some(seat) = self.take() {
            if seat.give(mailbox) {
                return true;
            }
        }
        false
    }

    fn take(&self) -> Option<Arc<Seat>> {
        let mut free = self.lock();
        let seat = free.seats.pop();
        free.unneeded = free.unneeded.min(free.seats.len());
        seat
    }

    /// Keeps one that is free. False when there are enough.
    pub(super) fn keep(&self, seat: &Arc<Seat>) -> bool {
        let mut free = self.lock();
        let is_kept = !free.is_closed && free.seats.len() < FREE_MAX;
        if is_kept {
            free.seats.push(Arc::clone(seat));
        }
        is_kept
    }

    /// Ends those that were not needed since this was last called.
    pub(super) fn end_unneeded(&self) {
        let unneeded: Vec<_> = {
            let mut free = self.lock();
            let count = free.unneeded;
            let unneeded = free.seats.drain(..count).collect();
            free.unneeded = free.seats.len();
            unneeded
        };
        unneeded.iter().for_each(|seat| seat.end());
    }

    /// Ends all, and keeps none from here on.
    pub(super) fn close(&self) {
        let seats = {
            let mut free = self.lock();
            free.is_closed = true;
            free.unneeded = 0;
            std::mem::take(&mut free.seats)
        };
        seats.iter().for_each(|seat| seat.end());
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// One that is free, and its first mailbox.
    async fn free(seats: &Seats) -> Arc<Seat> {
        let first = mailbox("first");
        let seat = Seat::given_to(Arc::clone(&first));
        assert!(Arc::ptr_eq(&seat.next().await.unwrap(), &first));
        assert!(seat.vacate() && seats.keep(&seat));
        assert_eq!(Arc::strong_count(&first), 1, "nothing is left of it in there");
        seat
    }

    #[tokio::test]
    async fn mailboxes_have_a_seat_one_after_another() {
        let seats = Seats::default();
        let seat = free(&seats).await;
        let (second, third) = (mailbox("second"), mailbox("third"));
        assert!(seats.give(&second));
        assert!(!seats.give(&third), "it is not free");
        assert!(Arc::ptr_eq(&seat.next().await.unwrap(), &second));
        assert!(matches!(seat.ended(), Occupant::Active(last) if Arc::ptr_eq(&last, &second)));
    }

    #[tokio::test]
    async fn one_that_has_ended_is_given_to_nobody() {
        let seats = Seats::default();
        let (ended, goes_on) = (free(&seats).await, free(&seats).await);
        assert!(matches!(ended.ended(), Occupant::Nobody));
        let (second, third) = (mailbox("second"), mailbox("third"));
        assert!(seats.give(&second) && !seats.give(&third));
        assert!(matches!(goes_on.ended(), Occupant::Given(given) if Arc::ptr_eq(&given, &second)), "it did not begin");
    }

    #[tokio::test]
    async fn those_that_are_not_needed_for_a_while_end() {
        let seats = Seats::default();
        let all = [free(&seats).await, free(&seats).await, free(&seats).await];
        seats.end_unneeded();
        let needed = mailbox("needed");
        assert!(seats.give(&needed));
        assert!(Arc::ptr_eq(&all[2].next().await.unwrap(), &needed) && all[2].vacate() && seats.keep(&all[2]));
        seats.end_unneeded();
        assert!(all[0].next().await.is_none() && all[1].next().await.is_none());
        seats.close();
        assert!(all[2].next().await.is_none() && !seats.keep(&all[2]));
    }
}
