//! Wall time: what people are shown, and what they name a moment by.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{machine, micros};

/// A moment in microseconds since 1970, UTC: wall time. What is shown is in it (when a message was sent, when it died),
/// and what happens at a moment that somebody named. Waits are not: they pass at the machine's rate, whatever its clock
/// says.
///
/// ```
/// use everpost::Micros;
/// use std::time::{Duration, SystemTime};
///
/// let noon = Micros(1_800_000_000_000_000);
/// let later = noon.plus(Duration::from_secs(60));
/// assert_eq!((later.since(noon), noon.since(later)), (Duration::from_secs(60), Duration::ZERO));
/// assert_eq!(noon.to_string(), "2027-01-15T08:00:00Z");
/// assert_eq!(SystemTime::from(later).duration_since(noon.into()).unwrap(), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Micros(pub u64);

impl Micros {
    /// Now, by the machine's wall clock. A node believes a step of that clock only after it has stood for a minute, so
    /// this may differ from what its messages say while the clock is being set.
    #[must_use]
    pub fn now() -> Self {
        machine::wall()
    }

    /// As it is shown; none near the end of time.
    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        i64::try_from(self.0).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok())
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

/// As `2027-01-15T08:00:00Z`; its number where the calendar ends before it.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timestamp() {
            Some(timestamp) => write!(f, "{timestamp}"),
            None => write!(f, "{} us since 1970", self.0),
        }
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
