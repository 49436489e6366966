//! Who of those that have begun something and not ended it gives way when there are too many: the oldest of whoever has begun the
//! most. So one that begins on and on and ends nothing takes its own places only. Pure.

use std::collections::VecDeque;

/// Those that have begun and not ended, by where they come from, oldest first.
#[derive(Debug)]
pub struct Newcomers<K> {
    each_max: usize,
    strangers_max: usize,
    last: u64,
    begun: VecDeque<Newcomer<K>>,
}

#[derive(Debug)]
struct Newcomer<K> {
    number: u64,
    from: K,
    is_known: bool,
}

impl<K: Clone + Eq> Newcomers<K> {
    /// Nobody has begun. No more than `each_max` may come from one place, and no more than `strangers_max` from all places together that
    /// are not known.
    ///
    /// # Panics
    ///
    /// When nobody could ever come.
    #[must_use]
    pub const fn new(each_max: usize, strangers_max: usize) -> Self {
        assert!(each_max > 0 && strangers_max > 0, "somebody may come");
        Self { each_max, strangers_max, last: 0, begun: VecDeque::new() }
    }

    /// How many have begun and not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.begun.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Somebody begins, from a place that is known or not. Returns its number, and the number of the one that gives way to it.
    pub fn begin(&mut self, from: K, is_known: bool) -> (u64, Option<u64>) {
        let gives_way = if self.begun_by(&from) >= self.each_max {
            self.oldest(|newcomer| newcomer.from == from)
        } else if !is_known && self.strangers().count() >= self.strangers_max {
            let most = self.strangers().map(|stranger| self.begun_by(&stranger.from)).max();
            self.oldest(|newcomer| !newcomer.is_known && Some(self.begun_by(&newcomer.from)) == most)
        } else {
            None
        };
        if let Some(number) = gives_way {
            self.end(number);
        }
        self.last += 1;
        self.begun.push_back(Newcomer { number: self.last, from, is_known });
        (self.last, gives_way)
    }

    /// Whether so many have begun, from there or altogether, that whoever comes has to show first that it is there: nobody gives way to a
    /// packet with an address that may be anybody's.
    #[must_use]
    pub fn are_many(&self, from: &K) -> bool {
        self.len() >= self.strangers_max / 2 || self.begun_by(from) >= self.each_max.div_ceil(2)
    }

    /// Somebody has ended what it began, in whichever way. One that has given way is not here any more.
    pub fn end(&mut self, number: u64) {
        self.begun.retain(|newcomer| newcomer.number != number);
    }

    fn strangers(&self) -> impl Iterator<Item = &Newcomer<K>> {
        self.begun.iter().filter(|newcomer| !newcomer.is_known)
    }

    fn begun_by(&self, from: &K) -> usize {
        self.begun.iter().filter(|newcomer| newcomer.from == *from).count()
    }

    fn oldest(&self, is_meant: impl Fn(&Newcomer<K>) -> bool) -> Option<u64> {
        self.begun.iter().find(|newcomer| is_meant(newcomer)).map(|newcomer| newcomer.number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_gives_way_to_one_that_has_not_shown_that_it_is_there() {
        let mut newcomers = Newcomers::new(4, 64);
        for _ in 0..100 {
            if newcomers.are_many(&1) {
                break;
            }
            assert_eq!(newcomers.begin(1, true).1, None);
        }
        assert!(newcomers.are_many(&1) && !newcomers.are_many(&2));
        for from in 10.. {
            if newcomers.are_many(&from) {
                break;
            }
            assert_eq!(newcomers.begin(from, false).1, None);
        }
    }

    #[test]
    fn of_those_from_one_place_the_oldest_gives_way() {
        let mut newcomers = Newcomers::new(2, 10);
        assert_eq!(newcomers.begin("a", false), (1, None));
        assert_eq!(newcomers.begin("b", false), (2, None));
        assert_eq!(newcomers.begin("a", false), (3, None));
        assert_eq!(newcomers.begin("a", false), (4, Some(1)));
        newcomers.end(3);
        assert_eq!(newcomers.begin("a", false), (5, None));
        assert_eq!(newcomers.begin("a", true), (6, Some(4)), "known or not");
    }

    #[test]
    fn of_too_many_strangers_the_one_gives_way_that_takes_the_most_places() {
        let mut newcomers = Newcomers::new(3, 4);
        for from in ["honest", "many", "many", "many"] {
            newcomers.begin(from, false);
        }
        assert_eq!(newcomers.begin("another", false), (5, Some(2)));
        assert_eq!(newcomers.begin("peer", true), (6, None), "those that are known have places of their own");
        assert_eq!(newcomers.len(), 5);
    }

    proptest! {
        #[test]
        fn there_are_never_too_many_and_who_comes_from_elsewhere_is_not_touched(places in prop::collection::vec(0_u8..5, 1..200)) {
            let mut newcomers = Newcomers::new(4, 8);
            let (honest, _) = newcomers.begin(100, false);
            for place in places {
                let (_, gives_way) = newcomers.begin(place, place == 0);
                prop_assert_ne!(gives_way, Some(honest), "it has one place, and others have more");
                prop_assert!(newcomers.begun_by(&place) <= 4 && newcomers.strangers().count() <= 8);
            }
        }
    }
}
