//! Submissions, oldest first: the changes of all of them in one vector, with a mark where each ends.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::index::Index;
use crate::batch::Change;
use crate::ids::Position;
use crate::key::Key;

/// Where a submission ends in the vector of changes, and what it holds.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) ticket: Position,
    pub(crate) changes: usize,
    pub(crate) bytes: usize,
    /// The room that is free again when the submission is durable.
    pub(crate) units: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Submissions {
    pub(crate) changes: Vec<Change>,
    pub(crate) marks: Vec<Mark>,
    /// How many changes have landed: they are found elsewhere, and their values are gone.
    landed: usize,
    /// Where the newest change of a record is; filled only when somebody asks. A lock of its own, since they ask while
    /// the writer reads, too.
    index: Mutex<Index>,
}

/// What the newest submission says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    /// `None` if it deletes the record.
    pub(crate) value: Option<Bytes>,
    /// That of the submission.
    pub(crate) ticket: Position,
}

impl Submissions {
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.changes.is_empty()
    }

    /// Forgets all, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.marks.clear();
        self.landed = 0;
        self.index.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The next changes, so many, whose values may be taken: they are landed with that.
    pub(crate) fn land(&mut self, changes: usize) -> &mut [Change] {
        let first = self.landed;
        self.landed += changes;
        &mut self.changes[first..self.landed]
    }

    /// What the newest of the submissions says of a record, unless that has landed.
    pub(super) fn newest(&self, key: &Key) -> Option<Newest> {
        if self.changes.len() == self.landed {
            return None;
        }
        let found = self.index.lock().unwrap_or_else(PoisonError::into_inner).find(&self.changes, key)?;
        if found < self.landed {
            return None;
        }
        let change = &self.changes[found];
        // Its own change, or the deletion of what it goes with.
        let value = if change.key == *key { change.value.clone() } else { None };
        let mark = self.marks.partition_point(|mark| mark.changes <= found);
        Some(Newest { value, ticket: self.marks[mark].ticket })
    }
}
