//! Seeds: random moments repeat from one number, and a failure says how.

/// One seed of one test. Dropped by a panic, it prints the command that repeats the run.
pub(crate) struct Seed {
    test: &'static str,
    value: u64,
    random: u64,
}

/// The seeds to run `test` with: `count` of them, or as the environment says.
pub(crate) fn seeds(test: &'static str, count: u64) -> impl Iterator<Item = Seed> {
    let number = |name: &str| {
        let value = std::env::var(name).ok()?;
        Some(value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is `{value}`, which is no number")))
    };
    let range = match number("EVERPOST_TEST_SEED") {
        Some(only) => only..only + 1,
        None => 0..count * number("EVERPOST_TEST_SEEDS").unwrap_or(1),
    };
    range.map(move |value| Seed { test, value, random: value })
}

impl Seed {
    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    /// A number from 0 to below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "reproduce: EVERPOST_TEST_SEED={} cargo test -p everpost-examples --test examples -- --exact {}",
                self.value, self.test
            );
        }
    }
}
