//! Seeds: random tests repeat from one number, and a failure says how.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One seed of one test. Dropped by a panic, it prints the command that repeats the run.
#[derive(Debug)]
pub struct Seed {
    test: &'static str,
    value: u64,
}

/// The seeds to run `test` with: `count` of them, or as the environment says.
///
/// # Panics
///
/// When the environment variables are no numbers.
pub fn seeds(test: &'static str, count: u64) -> impl Iterator<Item = Seed> {
    let range = match number("EVERPOST_TEST_SEED") {
        Some(only) => only..only + 1,
        None => 0..count * number(TIMES).unwrap_or(1),
    };
    range.map(move |value| Seed { test, value })
}

/// Whether random tests run more seeds than usual: then others may take longer too.
///
/// # Panics
///
/// As [`seeds`].
#[must_use]
pub fn are_many() -> bool {
    number(TIMES).is_some_and(|times| times > 1)
}

const TIMES: &str = "EVERPOST_TEST_SEEDS";

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`, which is no number")))
}

impl Seed {
    /// The random numbers of this seed.
    #[must_use]
    pub fn random(&self) -> Random {
        Random::new(self.value)
    }

    /// The seed itself.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "reproduce: EVERPOST_TEST_SEED={} cargo test -p everpost-tests --test it -- --exact {}",
                self.value, self.test
            );
        }
    }
}

/// Random numbers that repeat.
#[derive(Debug)]
pub struct Random(StdRng);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
