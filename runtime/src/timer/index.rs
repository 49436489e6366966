//! Which timers there are, and which is due next: the index of what the store keeps. Pure: the moment and what is durable are
//! handed in.

use std::collections::BTreeSet;

use everpost_persistence::Position;
use rustc_hash::FxHashMap;

use super::id::TimerId;
use crate::clock::Micros;

/// A timer that is due then is kept, and never fires: this build cannot.
pub(crate) const NEVER: Micros = Micros(u64::MAX);

/// The timers of a node. Bodies stay in the store; about 100 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Index {
    timers: FxHashMap<TimerId, Entry>,
    by_due: BTreeSet<(Micros, TimerId)>,
}

/// What is known of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) due: Micros,
    /// Its record is in the store when this is durable.
    pub(crate) since: Position,
}

/// What is to be done about timers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is none that will be due.
    Nothing,
    /// Nothing before then.
    Until(Micros),
    /// Some are due, and can be read when this is durable.
    Durable(Position),
    /// These are due and durable, the earliest first.
    Fire(Vec<(TimerId, Entry)>),
}

impl Index {
    /// Sets a timer, in the place of one of the same name. Whether it is due before all others.
    pub(crate) fn set(&mut self, timer: TimerId, entry: Entry) -> bool {
        self.remove(timer);
        self.timers.insert(timer, entry);
        if entry.due == NEVER {
            return false;
        }
        self.by_due.insert((entry.due, timer));
        self.by_due.first() == Some(&(entry.due, timer))
    }

    /// Takes a timer out. False when there is none.
    pub(crate) fn remove(&mut self, timer: TimerId) -> bool {
        let Some(entry) = self.timers.remove(&timer) else {
            return false;
        };
        self.by_due.remove(&(entry.due, timer));
        true
    }

    pub(crate) fn get(&self, timer: TimerId) -> Option<Entry> {
        self.timers.get(&timer).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether a timer is due.
    pub(crate) fn is_due(&self, now: Micros) -> bool {
        self.by_due.first().is_some_and(|(due, _)| *due <= now)
    }

    /// What is to be done, of `timers_max` timers at most.
    pub(crate) fn next(&self, now: Micros, durable: Position, timers_max: usize) -> Next {
        let Some(&(first, _)) = self.by_due.first() else {
            return Next::Nothing;
        };
        if first > now {
            return Next::Until(first);
        }
        let due = self.by_due.iter().take_while(|(due, _)| *due <= now).take(timers_max);
        let due: Vec<_> = due.map(|&(_, timer)| (timer, self.timers[&timer])).collect();
        let (ready, early): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, entry)| entry.since <= durable);
        match early.iter().map(|(_, entry)| entry.since).min() {
            Some(since) if ready.is_empty() => Next::Durable(since),
            _ => Next::Fire(ready),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::message::MessageId;

    fn timer(name: u128) -> TimerId {
        TimerId::new(everpost_persistence::Partition(0), MessageId(name))
    }

    fn entry(due: u64, since: u64) -> Entry {
        Entry { due: Micros(due), since: Position(since) }
    }

    #[test]
    fn the_earliest_fires_first_and_only_when_it_is_due_and_durable() {
        let mut index = Index::default();
        assert_eq!(index.next(Micros(9), Position(9), 2), Next::Nothing);
        assert!(index.set(timer(1), entry(20, 1)));
        assert!(!index.set(timer(2), entry(30, 2)));
        assert!(index.set(timer(3), entry(10, 3)), "it is due before all others");
        assert_eq!(index.next(Micros(9), Position(9), 2), Next::Until(Micros(10)));
        assert!(!index.is_due(Micros(9)) && index.is_due(Micros(10)));
        let fire = |timers: &[u128], index: &Index| {
            Next::Fire(timers.iter().map(|name| (timer(*name), index.get(timer(*name)).unwrap())).collect())
        };
        assert_eq!(index.next(Micros(99), Position(9), 2), fire(&[3, 1], &index), "two at a time");
        assert_eq!(index.next(Micros(99), Position(2), 9), fire(&[1, 2], &index), "the first waits for its commit");
        assert_eq!(index.next(Micros(10), Position(2), 9), Next::Durable(Position(3)));
        assert!(index.remove(timer(3)) && !index.remove(timer(3)));
        assert_eq!((index.next(Micros(10), Position(9), 9), index.len()), (Next::Until(Micros(20)), 2));
    }

    #[test]
    fn a_timer_that_cannot_fire_is_kept_and_can_be_cancelled() {
        let mut index = Index::default();
        assert!(!index.set(timer(1), Entry { due: NEVER, since: Position(0) }));
        assert_eq!((index.next(NEVER, Position(9), 9), index.len()), (Next::Nothing, 1));
        assert!(index.remove(timer(1)));
    }

    /// Sets or cancels a timer, or lets time pass.
    fn steps() -> impl Strategy<Value = Vec<(u128, Option<u64>, u64)>> {
        proptest::collection::vec((0..12_u128, proptest::option::of(0..200_u64), 0..20_u64), 1..120)
    }

    proptest! {
        #[test]
        fn every_timer_fires_once_in_the_order_of_their_moments_unless_it_is_cancelled(steps in steps()) {
            let (mut index, mut oracle) = (Index::default(), BTreeMap::new());
            let mut now = 0;
            for (position, (name, due, later)) in steps.into_iter().enumerate() {
                match due {
                    Some(due) => {
                        index.set(timer(name), entry(due, position as u64));
                        oracle.insert(name, due);
                    }
                    None => prop_assert_eq!(index.remove(timer(name)), oracle.remove(&name).is_some()),
                }
                now += later;
                let mut last = 0;
                while let Next::Fire(fired) = index.next(Micros(now), Position(position as u64), 2) {
                    prop_assert!(!fired.is_empty() && fired.len() <= 2);
                    for (timer, entry) in fired {
                        prop_assert!(last <= entry.due.0 && entry.due.0 <= now);
                        last = entry.due.0;
                        prop_assert_eq!(oracle.remove(&timer.message().0), Some(entry.due.0));
                        prop_assert!(index.remove(timer));
                    }
                }
                prop_assert!(oracle.values().all(|due| *due > now), "what is due has fired");
                prop_assert_eq!(index.len(), oracle.len());
                prop_assert_eq!(index.is_due(Micros(now)), false);
            }
        }
    }
}
