//! Chance that repeats: the same numbers give the same chance, in every process and on every machine.

/// A number from 0 to below 1 that depends on nothing but these.
#[must_use]
pub fn chance(numbers: &[u64]) -> f64 {
    let mut hasher = blake3::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    let mut bytes = [0; 4];
    hasher.finalize_xof().fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn chances_are_spread_and_repeat() {
        let chances: Vec<_> = (0..10_000).map(|number| chance(&[7, number])).collect();
        assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)));
        for tenth in 0..10 {
            let from = f64::from(tenth) / 10.0;
            let there = chances.iter().filter(|chance| (from..from + 0.1).contains(*chance)).count();
            assert!((900..1100).contains(&there), "{there} of 10,000 are from {from}");
        }
        assert_eq!(chance(&[7, 3]).to_bits(), chances[3].to_bits());
        assert_ne!(chance(&[8, 3]).to_bits(), chances[3].to_bits());
    }
}
