//! Cancelling timers from outside.

use super::Node;
use crate::timer::{CancelError, TimerId};

impl Node {
    /// Cancels a timer that was set on this node, from outside or by a turn. True when it was there: then it does not fire, or
    /// not again, whatever crashes; a tick that was sent before is handled all the same. False when it is gone: it has fired for
    /// the last time, or was cancelled, which is durable then.
    ///
    /// # Errors
    ///
    /// [`CancelError`] says whether it was tried.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped may or may not have cancelled the timer; it can be made again.
    pub async fn cancel(&self, timer: TimerId) -> Result<bool, CancelError> {
        self.core.cancel_timer(timer).await
    }
}
