//! What a run of groups amounts to: what the tables lack.

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::born::Born;
use super::known::Known;
use super::queued::Queued;
use super::rest::Rest;
use crate::batch::Change;
use crate::hash::Chain;
use crate::ids::{Group, Position};
use crate::key::Key;
use crate::record::{CHANGE_BYTES, overhead};
use crate::table::TableId;

/// What a run of groups amounts to.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// The first position of the first group; 0 while there is none. Older records of queues may be in the
    /// tables.
    first: Position,
    /// The last group, and its last position.
    pub(crate) last_group: Group,
    pub(crate) last_position: Position,
    /// Of all groups up to the last one.
    pub(crate) chain: Chain,
    /// Records of queues that were made here: most of what passes.
    born: Born,
    /// Records of queues that are older, and were deleted here.
    died: FxHashSet<Queued>,
    rest: Rest,
    /// How many of `rest` go with records of queues: usually none, and then nothing has to be looked up when one is
    /// deleted.
    companions: usize,
    bytes: usize,
}

impl Folded {
    /// Adds the next group. The changes are those of its batch.
    pub(crate) fn absorb(
        &mut self,
        group: Group,
        first: Position,
        last: Position,
        chain: Chain,
        changes: impl Iterator<Item = Change>,
    ) {
        assert!(group > self.last_group && first > self.last_position && last >= first, "groups are folded in order");
        if self.first.0 == 0 {
            self.first = first;
        }
        self.last_group = group;
        self.last_position = last;
        self.chain = chain;
        for Change { key, value } in changes {
            match Queued::of(&key) {
                Some(queued) => self.change_queued(queued, value),
                None => self.change_rest(key, value),
            }
        }
    }

    /// What is known about a record.
    pub(crate) fn get(&self, key: &Key) -> Known {
        if let Some(queued) = Queued::of(key) {
            return match self.born.get(queued) {
                Some(value) => Known::Value(value.clone()),
                None if self.died.contains(&queued) => Known::Deleted,
                None => Known::Unknown,
            };
        }
        if let Some(value) = self.rest.get(key) {
            return Known::from(value);
        }
        // The deletion of a record of a queue stands for that of its companion.
        let queued = key.queue().and_then(|queue| Queued::of(&queue));
        if queued.is_some_and(|queued| self.died.contains(&queued)) { Known::Deleted } else { Known::Unknown }
    }

    /// The changes of a table, in no order. Deletions of the records of queues stand for those of their companions.
    pub(crate) fn changes(&self, table: TableId) -> Box<dyn Iterator<Item = (Key, Option<&Bytes>)> + '_> {
        if table.is_queue() {
            let of_table = move |(key, _): &(Key, Option<&Bytes>)| key.table() == table;
            let born = self.born.iter().map(|(queued, value)| (queued.key(), Some(value)));
            let died = self.died.iter().map(|queued| (queued.key(), None));
            Box::new(born.chain(died).filter(of_table))
        } else {
            Box::new(self.rest.of_table(table))
        }
    }

    /// Takes everything out. What follows starts with the next group, and remembers where this one ended.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// How many changes there are.
    pub(crate) fn len(&self) -> usize {
        self.born.len() + self.died.len() + self.rest.len()
    }

    /// Bytes of the values and what they take in the tables beyond, and [`CHANGE_BYTES`] for each change.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no group was added. A fold of groups that cancel each other out has no changes, and is not empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.last_group.0 == 0
    }

    fn change_queued(&mut self, queued: Queued, value: Option<Bytes>) {
        if value.is_none()
            && self.companions > 0
            && let Some(companion) = queued.key().companion()
        {
            self.remove_rest(&companion);
        }
        match value {
            Some(value) => {
                self.bytes += cost(Some(&value));
                if let Some(old) = self.born.insert(queued, value) {
                    self.bytes -= cost(Some(&old));
                }
            }
            None if queued.position >= self.first => {
                if let Some(old) = self.born.remove(queued) {
                    self.bytes -= cost(Some(&old));
                }
            }
            None => {
                if self.died.insert(queued) {
                    self.bytes += cost(None);
                }
            }
        }
    }

    fn change_rest(&mut self, key: Key, value: Option<Bytes>) {
        let companions = usize::from(key.table().is_companion());
        self.bytes += cost(value.as_ref());
        match self.rest.insert(key, value) {
            Some(old) => self.bytes -= cost(old.as_ref()),
            None => self.companions += companions,
        }
    }

    fn remove_rest(&mut self, companion: &Key) {
        if let Some(old) = self.rest.remove(companion) {
            self.bytes -= cost(old.as_ref());
            self.companions -= 1;
        }
    }
}

pub(super) fn cost(value: Option<&Bytes>) -> usize {
    CHANGE_BYTES + value.map_or(0, |value| value.len() + overhead(value.len()))
}
