//! Seeds: a schedule repeats from one number, and a failure says how.

/// Random numbers that repeat: the generator is part of the test, so that a seed means the same for ever.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The seeds to run: `count` of them, or as the environment says.
pub(crate) fn seeds(count: u64) -> std::ops::Range<u64> {
    match number("EVERPOST_TEST_SEED") {
        Some(only) => only..only + 1,
        None => 0..count * number("EVERPOST_TEST_SEEDS").unwrap_or(1),
    }
}

/// Whether a single seed was asked for, so that nothing can be said of all of them together.
pub(crate) fn is_single() -> bool {
    number("EVERPOST_TEST_SEED").is_some()
}

/// Whether more was asked for than the default.
pub(crate) fn is_long() -> bool {
    number("EVERPOST_TEST_SEEDS").is_some_and(|times| times > 1)
}

/// The command that repeats the run of `seed` in `test`.
pub(crate) fn reproduce(test: &str, seed: u64) -> String {
    format!("reproduce: EVERPOST_TEST_SEED={seed} cargo test -p everpost-transport --test protocol -- --exact {test}")
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`, which is no number")))
}
