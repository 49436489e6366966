//! What is ordered: computed from the number of the order, so that nobody has to keep it.

use everpost_examples::chance;
use serde::{Deserialize, Serialize};

/// What an order is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The number of the order.
    pub(crate) order: u64,
    pub(crate) item: u32,
    pub(crate) quantity: u32,
    pub(crate) cents: u64,
}

impl Wish {
    /// What the order `number` is about, among so many items.
    pub(crate) fn new(seed: u64, number: u64, items: u32) -> Self {
        let below = |what, limit| pick(chance(&[seed, number, what]), limit);
        let (item, quantity) = (below(1, items), 1 + below(2, 3));
        let price = 100 * (item + 1) + below(3, 100);
        Self { order: number, item, quantity, cents: u64::from(price) * u64::from(quantity) }
    }
}

/// The number from 0 to below `limit` that a chance stands for.
fn pick(chance: f64, limit: u32) -> u32 {
    (1..limit).take_while(|number| f64::from(*number) / f64::from(limit) <= chance).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_item_is_ordered_and_no_other() {
        let wishes: Vec<_> = (0..200).map(|number| Wish::new(7, number, 5)).collect();
        assert_eq!(wishes.iter().map(|wish| wish.item).collect::<BTreeSet<_>>(), (0..5).collect());
        assert_eq!(wishes.iter().map(|wish| wish.quantity).collect::<BTreeSet<_>>(), (1..=3).collect());
        assert!(wishes.iter().all(|wish| wish.cents >= 100));
        assert_eq!(Wish::new(7, 3, 5), wishes[3]);
    }
}
