//! Time, as the pure modules see it: a number that is handed in. Only this file asks the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in microseconds since 1970, UTC. It is stored (next try, time of failure), so it is wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Micros(pub u64);

impl Micros {
    /// Now, by the machine's wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(micros(elapsed))
    }

    /// The moment `duration` later; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A moment before 1970 is taken for 1970, one past the end of time for that end.
impl From<SystemTime> for Micros {
    fn from(moment: SystemTime) -> Self {
        Self(micros(moment.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

impl From<Micros> for SystemTime {
    fn from(moment: Micros) -> Self {
        UNIX_EPOCH + Duration::from_micros(moment.0)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
