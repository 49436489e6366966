//! The transfers: computed from their numbers, so that the parent knows each without keeping any.

use serde::{Deserialize, Serialize};

/// What the parent tells the teller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    /// Counted from 1 over all runs on one store.
    pub(crate) number: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) cents: i64,
}

impl Transfer {
    /// The transfer `number` among `accounts` accounts, at least two. The same for the same seed.
    pub(crate) fn new(seed: u64, number: u64, accounts: u32) -> Self {
        let random = |what: u64| mix(mix(seed.wrapping_add(what)).wrapping_add(number));
        let from = below(random(1), accounts);
        let to = (from + 1 + below(random(2), accounts - 1)) % accounts;
        let cents = i64::from(1 + below(random(3), 10_000));
        Self { number, from, to, cents }
    }
}

/// Scatters numbers (the finalizer of SplitMix64): other numbers in, unrelated numbers out.
pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number from 0 to below `limit`.
pub(crate) fn below(random: u64, limit: u32) -> u32 {
    u32::try_from(random % u64::from(limit)).expect("the remainder is below a u32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_transfer_goes_back_to_its_account() {
        for accounts in [2, 3, 1000] {
            for number in 1..1000 {
                let transfer = Transfer::new(7, number, accounts);
                assert_eq!(transfer, Transfer::new(7, number, accounts));
                assert!(transfer.from < accounts && transfer.to < accounts && transfer.from != transfer.to);
                assert!((1..=10_000).contains(&transfer.cents));
            }
        }
    }
}
