//! Folding: of many changes in order, only what still matters. Pure.
//!
//! Two rules. The last change of a key wins. And since positions are given out once, an inbox record that was
//! enqueued within what is folded cannot exist outside of it: once it is deleted, nothing of it is left, neither
//! record nor tombstone, nor its attempts. `GroupFold` does this for the changes of one group before they are
//! written; `Folded` holds the outcome of many groups, which is what the tables lack.
//!
//! Deleting an inbox record deletes its attempts as well, here and wherever changes are applied.

mod group;

use bytes::Bytes;
use rustc_hash::FxHashMap;

pub(crate) use self::group::GroupFold;
use crate::batch::Change;
use crate::ids::{Group, Partition, Position};
use crate::key::{Key, Table};
use crate::queue::CHANGE_BYTES;

/// What a run of groups amounts to.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// The first position of the first group; 0 while there is none. Older inbox records may be in the tables.
    first: Position,
    /// The last group, and its last position.
    pub(crate) last_group: Group,
    pub(crate) last_position: Position,
    /// By position alone, which is unique; inbox records are most of what passes, and a short key is quick to find.
    inbox: FxHashMap<Position, Inboxed>,
    rest: FxHashMap<Key, Option<Bytes>>,
    /// How many of `rest` are attempts: usually none, and then nothing has to be looked up when a record is deleted.
    attempts: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Inboxed {
    partition: Partition,
    value: Option<Bytes>,
}

/// What a fold knows about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has this value.
    Value(Bytes),
    /// It was deleted.
    Deleted,
    /// Nothing: look further.
    Unknown,
}

impl Folded {
    /// Adds the next group. The changes are those of its batch.
    pub(crate) fn absorb(
        &mut self,
        group: Group,
        first: Position,
        last: Position,
        changes: impl Iterator<Item = Change>,
    ) {
        assert!(group > self.last_group && first > self.last_position && last >= first, "groups are folded in order");
        if self.first.0 == 0 {
            self.first = first;
        }
        self.last_group = group;
        self.last_position = last;
        for Change { key, value } in changes {
            match key {
                Key::Inbox { partition, position } => self.change_inbox(partition, position, value),
                key => self.change_rest(key, value),
            }
        }
    }

    /// What is known about a record.
    pub(crate) fn get(&self, key: &Key) -> Known {
        match *key {
            Key::Inbox { partition, position } => match self.inbox.get(&position) {
                Some(entry) if entry.partition == partition => Known::from(&entry.value),
                _ => Known::Unknown,
            },
            Key::Attempts { partition, position } => match self.rest.get(key) {
                Some(value) => Known::from(value),
                // The deletion of the record stands for that of its attempts.
                None if self.get(&Key::Inbox { partition, position }) == Known::Deleted => Known::Deleted,
                None => Known::Unknown,
            },
            _ => self.rest.get(key).map_or(Known::Unknown, Known::from),
        }
    }

    /// The changes of a table, in no order. Deletions of inbox records stand for those of their attempts.
    pub(crate) fn changes(&self, table: Table) -> Box<dyn Iterator<Item = (Key, &Option<Bytes>)> + '_> {
        if table == Table::Inbox {
            let key = |(&position, entry): (&Position, &Inboxed)| Key::Inbox { partition: entry.partition, position };
            Box::new(self.inbox.iter().map(move |entry| (key(entry), &entry.1.value)))
        } else {
            Box::new(self.rest.iter().filter(move |(key, _)| key.table() == table).map(|(&key, value)| (key, value)))
        }
    }

    /// Takes everything out. What follows starts with the next group, and remembers where this one ended.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// How many changes there are.
    pub(crate) fn len(&self) -> usize {
        self.inbox.len() + self.rest.len()
    }

    /// Bytes of the values, and [`CHANGE_BYTES`] for each change.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no group was added. A fold of groups that cancel each other out has no changes, and is not empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.last_group.0 == 0
    }

    fn change_inbox(&mut self, partition: Partition, position: Position, value: Option<Bytes>) {
        if value.is_none() && self.attempts > 0 {
            self.remove_rest(&Key::Attempts { partition, position });
        }
        if value.is_none() && position >= self.first {
            if let Some(entry) = self.inbox.remove(&position) {
                self.bytes -= cost(entry.value.as_ref());
            }
            return;
        }
        self.bytes += cost(value.as_ref());
        if let Some(old) = self.inbox.insert(position, Inboxed { partition, value }) {
            self.bytes -= cost(old.value.as_ref());
        }
    }

    fn change_rest(&mut self, key: Key, value: Option<Bytes>) {
        let attempts = usize::from(key.table() == Table::Attempts);
        self.bytes += cost(value.as_ref());
        match self.rest.insert(key, value) {
            Some(old) => self.bytes -= cost(old.as_ref()),
            None => self.attempts += attempts,
        }
    }

    fn remove_rest(&mut self, attempts: &Key) {
        if let Some(old) = self.rest.remove(attempts) {
            self.bytes -= cost(old.as_ref());
            self.attempts -= 1;
        }
    }
}

impl From<&Option<Bytes>> for Known {
    fn from(value: &Option<Bytes>) -> Self {
        value.as_ref().map_or(Self::Deleted, |value| Self::Value(value.clone()))
    }
}

fn cost(value: Option<&Bytes>) -> usize {
    CHANGE_BYTES + value.map_or(0, Bytes::len)
}

#[cfg(test)]
pub(crate) mod tests;
