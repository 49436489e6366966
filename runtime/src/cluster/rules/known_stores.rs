//! What is remembered of other stores: a few of each node. Pure.
//!
//! A store is remembered so that an older copy of it is found out, and nothing is taken twice that it sends again. A
//! node has one, and another one when its disk was lost; whoever comes with ever new ones is none that needs them. So
//! of each node the newest are remembered, and those first that have sent or taken something.

use std::collections::HashMap;

use everpost_transport::hello::KnownStore;

/// How many stores of one node are remembered.
const STORES_MAX: usize = 8;

/// How many are forgotten at a time, so that what is left of an older build is no burden of one moment.
const FORGOTTEN_MAX: usize = 16;

/// What is remembered of other stores.
#[derive(Debug, Default)]
pub(crate) struct KnownStores {
    by_store: HashMap<u128, Known>,
    meetings: u64,
}

#[derive(Debug)]
struct Known {
    store: KnownStore,
    /// Which meeting was the last one; 0 for one that was not met by this run.
    met: u64,
}

impl KnownStores {
    /// What is remembered of a store.
    pub(crate) fn get(&self, store: u128) -> Option<&KnownStore> {
        self.by_store.get(&store).map(|known| &known.store)
    }

    /// Whether any store of this node is remembered.
    pub(crate) fn know_node(&self, node: &str) -> bool {
        self.of_node(node).next().is_some()
    }

    /// The stores of a node.
    pub(crate) fn of_node<'a>(&'a self, node: &'a str) -> impl Iterator<Item = u128> + 'a {
        self.by_store.iter().filter(move |(_, known)| known.store.node == node).map(|(store, _)| *store)
    }

    /// What the start found.
    pub(crate) fn recovered(&mut self, store: u128, known: KnownStore) {
        self.by_store.insert(store, Known { store: known, met: 0 });
    }

    /// A store was met and believed.
    pub(crate) fn meet(&mut self, store: u128, known: KnownStore) {
        self.meetings += 1;
        self.by_store.insert(store, Known { store: known, met: self.meetings });
    }

    /// Forgets stores of a node that are too many: never `present`, the one that it has now, and of the others first
    /// those that were not used, and those that were met longest ago.
    pub(crate) fn forget(&mut self, node: &str, present: u128, was_used: impl Fn(u128) -> bool) -> Vec<u128> {
        let mut others: Vec<u128> = self.of_node(node).filter(|store| *store != present).collect();
        let surplus = (others.len() + 1).saturating_sub(STORES_MAX).min(FORGOTTEN_MAX);
        if surplus == 0 {
            return Vec::new();
        }
        // By the store at last, so that it is the same on every run.
        others.sort_unstable_by_key(|store| (was_used(*store), self.by_store[store].met, *store));
        others.truncate(surplus);
        others.iter().for_each(|store| _ = self.by_store.remove(store));
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(node: &str) -> KnownStore {
        KnownStore { node: node.to_owned(), counter: 1, nonce: 2 }
    }

    /// Meets a store of the node as a conversation does. Which are used: the even ones.
    fn meet(known: &mut KnownStores, node: &str, store: u128) -> Vec<u128> {
        known.meet(store, of(node));
        known.forget(node, store, |store| store.is_multiple_of(2))
    }

    #[test]
    fn those_that_were_used_are_kept_whatever_a_node_invents() {
        let mut known = KnownStores::default();
        known.recovered(2, of("north"));
        known.recovered(1000, of("south"));
        for store in 0..100 {
            meet(&mut known, "north", 2 * store + 1);
        }
        assert!(known.get(2).is_some() && known.get(199).is_some() && known.get(1000).is_some());
        assert_eq!(known.of_node("north").count(), STORES_MAX);
    }

    #[test]
    fn of_those_that_were_used_the_newest_are_kept() {
        let mut known = KnownStores::default();
        known.recovered(2, of("north"));
        let forgotten: Vec<u128> = (2..=20).flat_map(|number| meet(&mut known, "north", 2 * number)).collect();
        assert_eq!(forgotten, (1..=12).map(|number| 2 * number).collect::<Vec<_>>());
        // One that is there again is new.
        meet(&mut known, "north", 26);
        assert_eq!(meet(&mut known, "north", 42), [28]);
    }

    #[test]
    fn what_an_older_build_has_left_goes_a_few_at_a_time() {
        let mut known = KnownStores::default();
        (0..100).for_each(|store| known.recovered(2 * store + 1, of("north")));
        assert_eq!(meet(&mut known, "north", 2).len(), FORGOTTEN_MAX);
        (0..10).for_each(|_| _ = meet(&mut known, "north", 2));
        assert_eq!(known.of_node("north").count(), STORES_MAX);
    }
}
