//! Who is given an activation, and in which order: those of each class in the order in which they came, and the classes
//! in turn, so that nobody waits behind all of a backlog of others. Pure: no clock, no task, no lock.

use std::collections::VecDeque;

use crate::base::rules::allowance::Allowance;

/// How many activations start at a time. More would not start sooner, but wait together for the readers and the
/// threads, and all others with them.
pub(crate) const STARTS_MAX: usize = 256;

/// Who waits for the same: which actor type, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(pub(crate) usize);

/// Places for activations, and the queues of those that wait for one.
#[derive(Debug)]
pub(crate) struct Places<W> {
    allowance: Allowance,
    /// Of activations that are there, and of those that are about to be.
    used: usize,
    starts: Allowance,
    /// Activations that are about to be there, or have not loaded their states.
    starting: usize,
    /// A queue for each class of which somebody waits; that which is next is first.
    waiting: VecDeque<(Class, VecDeque<W>)>,
    /// So many were told to leave and have not yet.
    leaving: usize,
    /// How often somebody who waited has gone in. Not how often somebody has left: of those that start in any case some
    /// may always leave, which lets nobody in.
    moves: u64,
    /// Nobody is waited for any more.
    is_over: bool,
}

impl<W> Places<W> {
    pub(crate) fn new(max: usize) -> Self {
        let (allowance, starts) = (Allowance::new(max), Allowance::new(STARTS_MAX));
        Self { allowance, used: 0, starts, starting: 0, waiting: VecDeque::new(), leaving: 0, moves: 0, is_over: false }
    }

    /// Whether there is a place for somebody who has just come.
    pub(crate) fn has_room(&mut self) -> bool {
        self.is_over || (self.waiting.is_empty() && self.admits())
    }

    fn admits(&mut self) -> bool {
        self.allowance.admits(self.used, 1) && self.starts.admits(self.starting, 1)
    }

    /// A place is used from here on, whether there was one or not.
    pub(crate) fn take(&mut self) {
        self.used += 1;
        self.starting += 1;
    }

    /// The same of somebody who has waited.
    pub(crate) fn go_in(&mut self) {
        self.take();
        self.moves += 1;
    }

    /// An activation has loaded its state.
    pub(crate) fn started(&mut self) {
        self.starting = self.starting.saturating_sub(1);
    }

    /// A place is free, of an activation that has started or not.
    pub(crate) fn give_back(&mut self, has_started: bool) {
        if !has_started {
            self.started();
        }
        self.used = self.used.saturating_sub(1);
        self.leaving = self.leaving.saturating_sub(1);
    }

    /// Joins the end of the queue of a class.
    pub(crate) fn join(&mut self, class: Class, waiting: W) {
        match self.waiting.iter_mut().find(|(other, _)| *other == class) {
            Some((_, queue)) => queue.push_back(waiting),
            None => self.waiting.push_back((class, VecDeque::from([waiting]))),
        }
    }

    /// Who is next, if there is a place; whoever needs it goes in.
    pub(crate) fn next(&mut self) -> Option<W> {
        if !self.admits() {
            return None;
        }
        let (class, mut queue) = self.waiting.pop_front()?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.waiting.push_back((class, queue));
        }
        if self.waiting.is_empty() {
            // Some stay whatever they are told, since they were rung.
            self.leaving = 0;
        }
        next
    }

    /// Nobody has gone in for a while: more may be there, since those that are may wait for those that are not; and
    /// more may start, since some may never do.
    pub(crate) fn raise(&mut self) {
        if self.are_used_up() {
            self.leaving = 0;
            self.allowance.raise(self.used, 1);
        }
        if !self.starts.admits(self.starting, 1) {
            self.starts.raise(self.starting, 1);
        }
    }

    /// Whether nobody goes in before somebody has left.
    pub(crate) fn are_used_up(&mut self) -> bool {
        !self.allowance.admits(self.used, 1)
    }

    /// How many have to leave who have nothing to do, for all that wait; at least `at_least`, if any.
    pub(crate) fn too_many(&self, at_least: usize) -> usize {
        let waiting: usize = self.waiting.iter().map(|(_, queue)| queue.len()).sum();
        match waiting.saturating_sub(self.leaving).saturating_sub(self.allowance.left(self.used)) {
            0 => 0,
            wanted => wanted.max(at_least),
        }
    }

    /// So many are about to be told to leave. Before they are told, since some leave at once.
    pub(crate) fn tells_to_leave(&mut self, wanted: usize) {
        self.leaving += wanted;
    }

    /// So many of them were not.
    pub(crate) fn not_told(&mut self, missing: usize) {
        self.leaving = self.leaving.saturating_sub(missing);
    }

    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Nobody waits any more, from here on.
    pub(crate) fn close(&mut self) -> Vec<W> {
        self.is_over = true;
        std::mem::take(&mut self.waiting).into_iter().flat_map(|(_, queue)| queue).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come(places: &mut Places<u32>, who: u32) -> bool {
        let has_room = places.has_room();
        if has_room {
            places.take();
        } else {
            places.join(Class(0), who);
        }
        has_room
    }

    fn all_next(places: &mut Places<u32>) -> Vec<u32> {
        std::iter::from_fn(|| places.next().inspect(|_| places.go_in())).collect()
    }

    /// One leaves, and whoever is next goes in.
    fn next_after_one(places: &mut Places<u32>) -> Option<u32> {
        places.give_back(true);
        places.next().inspect(|_| places.go_in())
    }

    /// Then nobody was let in, and nothing went on.
    #[test]
    fn who_starts_and_leaves_in_any_case_is_no_sign_that_something_goes_on() {
        let mut places = Places::new(1);
        assert!(come(&mut places, 0) && !come(&mut places, 1));
        let before = places.moves();
        for _ in 0..3 {
            places.take();
            places.give_back(true);
            assert!(all_next(&mut places).is_empty());
        }
        assert_eq!(places.moves(), before);
        places.give_back(true);
        assert_eq!((all_next(&mut places), places.moves()), (vec![1], before + 1));
    }

    #[test]
    fn whoever_comes_first_goes_in_first_and_no_more_than_may_be() {
        let mut places = Places::new(2);
        assert_eq!([0, 1, 2, 3].map(|who| come(&mut places, who)), [true, true, false, false]);
        assert!(all_next(&mut places).is_empty());
        places.give_back(true);
        assert!(!come(&mut places, 4), "others wait");
        assert_eq!(all_next(&mut places), [2]);
        places.give_back(true);
        places.give_back(true);
        assert_eq!(all_next(&mut places), [3, 4]);
        assert!(!places.is_waited_for());
    }

    #[test]
    fn who_must_not_wait_takes_a_place_that_is_not_there() {
        let mut places = Places::new(1);
        places.take();
        places.take();
        assert!(!come(&mut places, 1));
        places.give_back(true);
        assert!(all_next(&mut places).is_empty(), "there is one still");
        places.give_back(true);
        assert_eq!(all_next(&mut places), [1]);
    }

    #[test]
    fn where_nobody_leaves_more_go_in() {
        let mut places = Places::new(1);
        (0..8).for_each(|who| _ = come(&mut places, who));
        let before = places.moves();
        places.raise();
        assert_eq!((all_next(&mut places), places.moves()), (vec![1], before + 1));
        places.raise();
        assert_eq!(all_next(&mut places), [2, 3]);
        places.raise();
        assert_eq!(all_next(&mut places), [4, 5, 6, 7]);
    }

    #[test]
    fn as_many_are_told_to_leave_as_wait() {
        let mut places = Places::new(1);
        assert_eq!(places.too_many(5), 0, "nobody waits");
        (0..9).for_each(|who| _ = come(&mut places, who));
        assert_eq!((places.too_many(5), places.too_many(20)), (8, 20));
        places.tells_to_leave(9);
        places.not_told(1);
        assert_eq!(places.too_many(5), 0, "they are about to");
        places.give_back(true);
        assert_eq!(all_next(&mut places), [1]);
        assert_eq!(places.too_many(5), 0);
    }

    #[test]
    fn nobody_waits_behind_a_backlog_of_others() {
        let mut places = Places::new(1);
        places.take();
        for (class, who) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            places.join(Class(class), who);
        }
        assert_eq!([(); 4].map(|()| next_after_one(&mut places)), [Some(10), Some(20), Some(30), Some(11)]);
        places.join(Class(2), 21);
        assert_eq!(places.too_many(0), 3);
        assert_eq!([(); 4].map(|()| next_after_one(&mut places)), [Some(31), Some(12), Some(21), None]);
    }

    #[test]
    fn only_so_many_start_at_a_time_and_nobody_has_to_leave_for_that() {
        let mut places = Places::new(4 * STARTS_MAX);
        (0..STARTS_MAX).for_each(|_| places.take());
        assert!((0..4).all(|who| !come(&mut places, who)) && all_next(&mut places).is_empty());
        assert_eq!((places.too_many(5), places.are_used_up()), (0, false));
        places.started();
        assert_eq!(all_next(&mut places), [0]);
        places.give_back(false);
        assert_eq!(all_next(&mut places), [1]);
        places.give_back(true);
        assert!(all_next(&mut places).is_empty(), "that one had started");
        places.raise();
        assert_eq!(all_next(&mut places), [2, 3], "some may never start");
    }

    #[test]
    fn who_was_told_to_leave_and_stays_is_not_counted_on_for_ever() {
        let mut places = Places::new(1);
        places.take();
        places.take();
        assert!(!come(&mut places, 1));
        // One leaves before all are told, and one stays, since it was rung.
        places.tells_to_leave(2);
        places.give_back(true);
        places.not_told(0);
        places.give_back(true);
        assert_eq!(all_next(&mut places), [1]);
        assert!(!come(&mut places, 2));
        assert_eq!(places.too_many(0), 1, "somebody has to leave for it");
    }
}
