//! Futures that wait for a position to be reached. Pure: how far it is is told.
//!
//! Each has one entry, however often and by whichever task it is polled, and takes it out when it is dropped before. An
//! entry costs no allocation of its own. Wakers that are not needed any more are handed back: dropping one may run
//! anything, which does not belong under a lock.

use std::task::Waker;

use everpost_persistence::Position;

/// Who waits, in the order in which they have come.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    entries: Vec<Entry>,
    last: u64,
    /// Entries of those that have stopped waiting: taken out when they are the most.
    left: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    after: Position,
    /// None when nobody waits any more.
    waker: Option<Waker>,
}

/// By what a future finds its entry again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u64);

impl Wakers {
    /// Wakes by `waker` when `after` is reached. A future that waits already gets no second entry; its waker of
    /// before is handed back.
    pub(crate) fn wait(&mut self, place: &mut Option<Place>, after: Position, waker: &Waker) -> Option<Waker> {
        if let Some(entry) = place.and_then(|place| self.entry(place)) {
            return entry.waker.replace(waker.clone());
        }
        self.last += 1;
        *place = Some(Place(self.last));
        self.entries.push(Entry { number: self.last, after, waker: Some(waker.clone()) });
        None
    }

    /// Whoever has this place does not wait any more.
    pub(crate) fn leave(&mut self, place: Place) -> Option<Waker> {
        let waker = self.entry(place)?.waker.take()?;
        self.left += 1;
        if self.left * 2 > self.entries.len() {
            self.entries.retain(|entry| entry.waker.is_some());
            self.entries.shrink_to(self.entries.len() * 2);
            self.left = 0;
        }
        Some(waker)
    }

    /// How many wait, or have done so lately.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes out those who wait for nothing beyond `reached`.
    pub(crate) fn take(&mut self, reached: Position) -> Vec<Waker> {
        let free = self.entries.extract_if(.., |entry| entry.waker.is_none() || entry.after <= reached);
        let wakers = free.filter_map(|entry| entry.waker).collect();
        self.left = 0;
        wakers
    }

    /// Their order is that of their numbers.
    fn entry(&mut self, Place(number): Place) -> Option<&mut Entry> {
        let index = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wake_all(wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
    }

    #[test]
    fn whoever_waits_for_what_is_reached_is_woken_once_by_the_last_waker() {
        let (mut wakers, [early, late]) = (Wakers::default(), [(); 2].map(|()| Arc::new(Woken::default())));
        let mut place = None;
        for (woken, is_again) in [(&early, false), (&late, true)] {
            let before = wakers.wait(&mut place, Position(5), &Waker::from(Arc::clone(woken)));
            assert_eq!(before.is_some(), is_again);
        }
        wake_all(wakers.take(Position(4)));
        assert_eq!([&early, &late].map(|woken| woken.0.load(Ordering::Relaxed)), [0, 0]);
        wake_all(wakers.take(Position(5)));
        wake_all(wakers.take(Position(9)));
        assert_eq!([&early, &late].map(|woken| woken.0.load(Ordering::Relaxed)), [0, 1]);
    }

    #[test]
    fn one_that_is_polled_again_has_one_entry_and_one_that_is_dropped_none() {
        let (mut wakers, mut places) = (Wakers::default(), [None; 5]);
        for _ in 0..1000 {
            for (place, after) in places.iter_mut().zip(1..) {
                _ = wakers.wait(place, Position(after), Waker::noop());
            }
        }
        assert_eq!(wakers.entries.len(), 5);
        for _ in 0..1000 {
            let mut place = None;
            wakers.wait(&mut place, Position(9), Waker::noop());
            assert!(wakers.leave(place.expect("it waits")).is_some());
        }
        assert!(wakers.entries.len() < 12 && wakers.entries.capacity() < 50, "{wakers:?}");
        assert_eq!(wakers.take(Position(3)).len(), 3);
        places.into_iter().flatten().for_each(|place| _ = wakers.leave(place));
        assert!(wakers.entries.is_empty());
        assert!(wakers.take(Position(9)).is_empty());
    }

    #[test]
    fn an_entry_that_was_woken_is_not_that_of_another() {
        let (mut wakers, mut first, mut second) = (Wakers::default(), None, None);
        wakers.wait(&mut first, Position(1), Waker::noop());
        assert_eq!(wakers.take(Position(1)).len(), 1);
        wakers.wait(&mut second, Position(2), Waker::noop());
        assert!(wakers.leave(first.expect("it has waited")).is_none());
        assert_eq!(wakers.take(Position(2)).len(), 1, "the second waits still");
        // Woken for nothing, it waits anew.
        wakers.wait(&mut first, Position(3), Waker::noop());
        assert_eq!(wakers.take(Position(3)).len(), 1);
    }
}
