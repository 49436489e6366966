//! The timers of a node, from outside.

use super::Node;
use crate::api::timer_list::TimerRef;
use crate::api::timers::{CancelError, Timers};

impl Node {
    /// The timers that this node keeps: to list, look at, trigger and cancel them.
    #[must_use]
    pub fn timers(&self) -> Timers {
        Timers::new(&self.core)
    }

    /// Short for `timers().cancel(which)`.
    ///
    /// # Errors
    ///
    /// As [`Timers::cancel`].
    ///
    /// # Cancel safety
    ///
    /// As [`Timers::cancel`].
    pub async fn cancel<'a>(&self, which: impl Into<TimerRef<'a>>) -> Result<bool, CancelError> {
        self.timers().cancel(which).await
    }
}
