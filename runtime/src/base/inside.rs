//! Where the calling code runs. What waits for a turn must not be awaited inside one, and a task of a group must not
//! wait for its own end: each would wait for itself. Every door that does so asks here, and refuses.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

/// What the calling thread is inside of, right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Nothing of a node.
    Nothing,
    /// A handler, or an answer to a query.
    Turn,
    /// A task of a group; which of the node's outermost groups.
    Task(RootId),
}

/// Tells the outermost groups of all nodes of the process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootId(pub(crate) u64);

thread_local! {
    static INSIDE: Cell<Inside> = const { Cell::new(Inside::Nothing) };
}

/// Marks the thread until it is dropped, which a panic does too. For one poll: between polls the thread works for
/// others.
#[must_use]
pub(crate) struct Mark {
    before: Inside,
}

impl Mark {
    pub(crate) fn set(inside: Inside) -> Self {
        Self { before: INSIDE.replace(inside) }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

/// Runs `future` with the mark set at each of its polls.
pub(crate) async fn within<F: Future>(inside: Inside, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _mark = Mark::set(inside);
        future.as_mut().poll(context)
    })
    .await
}

/// Whether the calling thread is inside a handler or an answer.
pub(crate) fn is_in_turn() -> bool {
    INSIDE.get() == Inside::Turn
}

/// The outermost group whose task the calling thread is inside of.
pub(crate) fn root_of_task() -> Option<RootId> {
    match INSIDE.get() {
        Inside::Task(root) => Some(root),
        Inside::Nothing | Inside::Turn => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_back_whatever_ends_it() {
        let task = Inside::Task(RootId(7));
        let outer = Mark::set(task);
        let panicked = std::panic::catch_unwind(|| {
            let _mark = Mark::set(Inside::Turn);
            assert!(is_in_turn() && root_of_task().is_none());
            panic!("told to panic");
        });
        assert!(panicked.is_err());
        assert_eq!(root_of_task(), Some(RootId(7)));
        drop(outer);
        assert_eq!((is_in_turn(), root_of_task()), (false, None));
    }
}
