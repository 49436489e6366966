//! Queries to the state of an actor, as its mailbox has them: without their types.

use std::any::Any;

use crate::base::caught::caught;
use crate::base::recurring::Recurring;
use crate::base::text::brief;

/// Panics where no node is at hand.
static PANICS: Recurring = Recurring::new();

/// A query that waits in the mailbox of its actor, without the type of the actor.
pub(crate) trait Open: Any + Send {
    /// It will not be answered, and this is why.
    fn refuse(self: Box<Self>, why: &str);
}

/// Nobody will answer these. Call it without a lock: a query that ends is code of the user's, which may do anything.
pub(crate) fn lose(queries: impl IntoIterator<Item = Box<dyn Open>>) {
    for query in queries {
        if let Err(panic) = caught(|| drop(query))
            && let Some(times) = PANICS.met("panic in a drop")
        {
            tracing::warn!(
                error = %brief(&panic), times, event = "panic in a drop",
                "a query that was lost has panicked when it was dropped"
            );
        }
    }
}
