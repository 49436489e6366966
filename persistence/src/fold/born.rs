//! The records of queues that were made within a fold, by position. Positions are dense and most records live
//! briefly, oldest first, so they lie in blocks in order of position instead of in a hash map.

use std::collections::VecDeque;

use bytes::Bytes;

use super::queued::Queued;
use crate::ids::{Partition, Position};
use crate::table::TableId;

/// How many positions share a block. A block is there as long as one of its records is: more slots would keep more
/// empty ones beside a record that stays, fewer would be more to allocate.
const BLOCK_SLOTS: usize = 64;

/// Records by position.
#[derive(Debug, Default)]
pub(super) struct Born {
    /// The number of the block in front.
    front: u64,
    blocks: VecDeque<Option<Box<Block>>>,
    len: usize,
}

#[derive(Debug)]
struct Block {
    slots: [Option<Record>; BLOCK_SLOTS],
    len: usize,
}

#[derive(Debug)]
struct Record {
    partition: Partition,
    table: TableId,
    value: Bytes,
}

impl Born {
    /// Adds a record; returns what was at its position.
    pub(super) fn insert(&mut self, queued: Queued, value: Bytes) -> Option<Bytes> {
        let Queued { position, partition, table } = queued;
        let (number, slot) = place(position);
        if self.blocks.is_empty() {
            self.front = number;
        }
        while number < self.front {
            self.blocks.push_front(None);
            self.front -= 1;
        }
        let index = usize::try_from(number - self.front).expect("as many blocks as fit memory");
        while self.blocks.len() <= index {
            self.blocks.push_back(None);
        }
        let block = self.blocks[index].get_or_insert_with(Block::empty);
        let old = block.slots[slot].replace(Record { partition, table, value });
        if old.is_none() {
            block.len += 1;
            self.len += 1;
        }
        old.map(|old| old.value)
    }

    /// Removes a record, if it is there.
    pub(super) fn remove(&mut self, queued: Queued) -> Option<Bytes> {
        let (number, slot) = place(queued.position);
        let index = usize::try_from(number.checked_sub(self.front)?).ok()?;
        let entry = self.blocks.get_mut(index)?;
        let block = entry.as_mut()?;
        let record = block.slots[slot].take_if(|record| record.is(queued))?;
        block.len -= 1;
        self.len -= 1;
        if block.len == 0 {
            *entry = None;
            while self.blocks.front().is_some_and(Option::is_none) {
                self.blocks.pop_front();
                self.front += 1;
            }
        }
        Some(record.value)
    }

    pub(super) fn get(&self, queued: Queued) -> Option<&Bytes> {
        let (number, slot) = place(queued.position);
        let index = usize::try_from(number.checked_sub(self.front)?).ok()?;
        let record = self.blocks.get(index)?.as_ref()?.slots[slot].as_ref()?;
        record.is(queued).then_some(&record.value)
    }

    /// All records, in order of position.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Queued, &Bytes)> {
        let blocks = self.blocks.iter().zip(self.front..);
        let blocks = blocks.filter_map(|(block, number)| block.as_ref().map(|block| (block, number)));
        blocks.flat_map(|(block, number)| {
            let first = number * BLOCK_SLOTS as u64;
            let slots = block.slots.iter().zip(first..);
            slots.filter_map(|(slot, position)| {
                let Record { partition, table, value } = slot.as_ref()?;
                let queued = Queued { position: Position(position), partition: *partition, table: *table };
                Some((queued, value))
            })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Block {
    fn empty() -> Box<Self> {
        Box::new(Self { slots: [const { None }; BLOCK_SLOTS], len: 0 })
    }
}

impl Record {
    /// A position that is asked for in another partition or table is not this record.
    fn is(&self, queued: Queued) -> bool {
        self.partition == queued.partition && self.table == queued.table
    }
}

/// The block of a position, and its slot there.
fn place(position: Position) -> (u64, usize) {
    let slots = BLOCK_SLOTS as u64;
    (position.0 / slots, usize::try_from(position.0 % slots).expect("below the number of slots"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::declared;

    fn queued(position: u64, partition: u16) -> Queued {
        Queued {
            position: Position(position),
            partition: Partition(partition),
            table: if partition == 1 { declared::OUTBOX.id() } else { declared::INBOX.id() },
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 1..400_u64, 0..2_u16), 0..300)) {
            let (mut born, mut oracle) = (Born::default(), BTreeMap::new());
            for (insert, position, partition) in steps {
                let key = queued(position, partition);
                if insert {
                    let value = Bytes::from(vec![1; position as usize]);
                    let old = oracle.insert(position, (partition, value.clone()));
                    prop_assert_eq!(born.insert(key, value), old.map(|(_, old)| old));
                } else {
                    let is_it = oracle.get(&position).is_some_and(|(found, _)| *found == partition);
                    let old = if is_it { oracle.remove(&position).map(|(_, old)| old) } else { None };
                    prop_assert_eq!(born.remove(key), old);
                }
                prop_assert_eq!(born.len(), oracle.len());
                let known = oracle.get(&position).filter(|(it, _)| *it == partition);
                prop_assert_eq!(born.get(key), known.map(|(_, value)| value));
            }
            let all = born.iter().map(|(key, value)| (key.position.0, key.partition.0, value.clone()));
            let all: Vec<_> = all.collect();
            let expected: Vec<_> = oracle.into_iter().map(|(at, (partition, value))| (at, partition, value)).collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn what_is_gone_takes_no_memory() {
        let mut born = Born::default();
        for position in 1..10_000 {
            born.insert(queued(position, 0), Bytes::new());
            born.remove(queued(position, 0));
        }
        assert!(born.blocks.is_empty());
    }
}
