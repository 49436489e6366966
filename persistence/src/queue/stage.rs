//! What a caller puts into one submission.

use bytes::Bytes;

use crate::batch::Change;
use crate::ids::{Partition, Position};
use crate::key::Key;
use crate::record::CHANGE_BYTES;
use crate::table::{Schema, Table};

/// The values of one submission together; far above what admission lets in, and within what a length field can say.
const STAGED_BYTES_MAX: usize = 0xF000_0000;

/// Collects one submission; see [`Store::submit`](crate::Store::submit).
#[derive(Debug)]
pub struct Stage<'a> {
    changes: &'a mut Vec<Change>,
    next: Position,
    bytes: usize,
    partitions: u16,
    schema: Schema,
}

impl<'a> Stage<'a> {
    /// Collects into `changes`; the first position to give out is `next`.
    pub(super) fn new(changes: &'a mut Vec<Change>, next: Position, partitions: u16, schema: Schema) -> Self {
        Self { changes, next, bytes: 0, partitions, schema }
    }

    /// Adds a record to a queue, in the partition, and returns its position.
    ///
    /// # Panics
    ///
    /// If the table is no queue, or the store has no such table or partition, or the values of the submission exceed
    /// 3.75 GiB: defects of the caller.
    #[inline]
    pub fn enqueue(&mut self, table: &Table, partition: Partition, value: Bytes) -> Position {
        assert!(table.id().is_queue(), "only queues have records that are enqueued");
        let position = self.next;
        self.push(Key::queued(table.id(), partition, position), Some(value));
        self.next = position.next();
        position
    }

    /// Sets a record. The last change of a key in a submission, and among submissions, wins.
    ///
    /// # Panics
    ///
    /// If the table is a queue, whose records are made by [`enqueue`](Self::enqueue) and never overwritten; if its
    /// position was not given out yet; and as `enqueue` does.
    pub fn put(&mut self, key: Key, value: Bytes) {
        assert!(!key.table().is_queue(), "the records of queues are made by `enqueue`, and never overwritten");
        self.push(key, Some(value));
    }

    /// Removes a record, if it exists. Removing one of a queue also removes its companion.
    ///
    /// # Panics
    ///
    /// If the store has no such table or partition, or the position in the key was not given out yet.
    pub fn delete(&mut self, key: Key) {
        self.push(key, None);
    }

    /// The ticket of the submission, and its bytes.
    pub(super) fn end(self) -> (Position, usize) {
        (self.next, self.bytes)
    }

    fn push(&mut self, key: Key, value: Option<Bytes>) {
        self.schema.table(key.table());
        if let Some(partition) = key.partition() {
            assert!(partition.0 < self.partitions, "partition {} of a store with {}", partition.0, self.partitions);
        }
        if let Some(position) = key.position() {
            let limit = if value.is_some() { self.next } else { Position(self.next.0.saturating_sub(1)) };
            assert!(position <= limit, "position {position} was not given out yet");
        }
        self.bytes += CHANGE_BYTES + value.as_ref().map_or(0, Bytes::len);
        assert!(self.bytes <= STAGED_BYTES_MAX, "a submission of more than 3.75 GiB");
        self.changes.push(Change { key, value });
    }
}
