//! How long something is waited for in this process. The only place that adds a wait to a moment of the runtime's
//! clock.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Timeout, timeout_at};

/// A wait as long as this is for ever. A longer one could not be added to a moment.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The end of a wait, which may be chosen as long as [`Duration::MAX`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// When `wait` has passed from now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the caller's runtime may be one that a test has stopped"
    )]
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::from_std(std::time::Instant::now()) + wait.min(FOR_EVER))
    }

    /// Waits for `future`, until then, by the clock of `runtime`: the caller's thread may have none. Once the deadline
    /// has passed this only looks whether it is done.
    pub(crate) fn wait_for<F: Future>(self, runtime: &Handle, future: F) -> Timeout<F> {
        let _entered = runtime.enter();
        timeout_at(self.0, future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_and_the_longest_never() {
        let (never, runtime) = (std::future::pending::<()>, &Handle::current());
        assert!(Deadline::after(DAY).wait_for(runtime, never()).await.is_err());
        for long in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 50)] {
            let forever = Deadline::after(long);
            let longer = forever.wait_for(runtime, never());
            assert!(Deadline::after(DAY).wait_for(runtime, longer).await.is_err(), "{long:?}");
            assert_eq!(forever.wait_for(runtime, async { 7 }).await.ok(), Some(7), "{long:?}");
        }
    }
}
