//! How far a store is. Flushed is what is on the medium of its log; committed is what nobody can take back any more. By
//! itself a store commits what it has flushed, so the second follows the first at once; where other copies have a say
//! it waits for them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::{Group, Position};

#[derive(Debug)]
pub(crate) struct Watermarks {
    /// The last group.
    flushed: AtomicU64,
    /// The last group.
    committed: AtomicU64,
    /// The last position of the last group that is committed.
    durable: AtomicU64,
}

impl Watermarks {
    /// Those of a store that has just been opened: everything in its log is committed.
    pub(crate) const fn new(group: Group, durable: Position) -> Self {
        Self {
            flushed: AtomicU64::new(group.0),
            committed: AtomicU64::new(group.0),
            durable: AtomicU64::new(durable.0),
        }
    }

    /// The last group that is on the medium.
    pub(crate) fn flushed(&self) -> Group {
        Group(self.flushed.load(Ordering::Acquire))
    }

    /// Everything up to this position is committed, and can be read.
    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// The caller has seen that everything up to this group is on the medium.
    pub(crate) fn flush_to(&self, group: Group) {
        let before = self.flushed.swap(group.0, Ordering::AcqRel);
        assert!(before < group.0, "the flushed watermark only moves forward");
    }

    /// The caller has seen that nobody can take back what is up to this group, which ends with this position, and that
    /// it can be read.
    pub(crate) fn commit_to(&self, group: Group, position: Position) {
        assert!(group <= self.flushed(), "what is committed was flushed");
        let before = self.committed.swap(group.0, Ordering::AcqRel);
        assert!(before < group.0, "the committed watermark only moves forward");
        let before = self.durable.swap(position.0, Ordering::Release);
        assert!(before < position.0, "the durable watermark only moves forward");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_is_committed_was_flushed_and_nothing_moves_back() {
        let marks = Watermarks::new(Group(3), Position(30));
        let refuses = |step: &dyn Fn()| catch_unwind(AssertUnwindSafe(step)).is_err();
        assert!(refuses(&|| marks.commit_to(Group(4), Position(40))));
        marks.flush_to(Group(5));
        assert_eq!((marks.flushed(), marks.durable()), (Group(5), Position(30)));
        marks.commit_to(Group(4), Position(40));
        assert_eq!((marks.flushed(), marks.durable()), (Group(5), Position(40)));
        assert!(refuses(&|| marks.flush_to(Group(5))) && refuses(&|| marks.commit_to(Group(4), Position(41))));
    }
}
