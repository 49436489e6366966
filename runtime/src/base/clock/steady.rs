//! The node's own timeline, on which every wait runs.

use std::time::Duration;

use super::micros;

/// A moment on the node's own timeline, in microseconds. It began as wall time when the store was first opened, and has
/// only advanced since, at the machine's rate, over restarts too; it does not jump, whatever becomes of the wall clock.
/// So the moments in records that were written before there was such a timeline are read as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Steady(pub(crate) u64);

impl Steady {
    /// The moment `wait` later. One that would be past the end of time is that end, which never comes.
    pub(crate) fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(micros(wait)))
    }

    /// The moment `wait` earlier; none when that is before the beginning.
    pub(crate) fn before(self, wait: Duration) -> Option<Self> {
        self.0.checked_sub(micros(wait)).map(Self)
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
