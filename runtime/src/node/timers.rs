//! The timers of a node, from outside.

use super::Node;
use crate::api::timers::Timers;

impl Node {
    /// The timers that this node keeps: to list, look at, trigger and cancel them.
    #[must_use]
    pub fn timers(&self) -> Timers {
        Timers::new(self.host.current.clone())
    }
}
