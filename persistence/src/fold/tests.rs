//! Folding against a map that applies every change in turn.

mod steps;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

pub(crate) use self::steps::{Caller, Step, any_turn, attempts, value};
use super::folded::cost;
use super::*;
use crate::batch::Change;
use crate::declared;
use crate::hash::Chain;
use crate::ids::{Group, Partition, Position};
use crate::key::Key;

/// What all changes amount to, the slow way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Oracle {
    pub(crate) records: BTreeMap<Key, Bytes>,
}

impl Oracle {
    pub(crate) fn apply(&mut self, change: &Change) {
        match &change.value {
            Some(value) => drop(self.records.insert(change.key, value.clone())),
            None => {
                self.records.remove(&change.key);
                if let Some(companion) = change.key.companion() {
                    self.records.remove(&companion);
                }
            }
        }
    }

    /// As the checkpointer does it: table by table, in key order.
    fn apply_folded(&mut self, folded: &Folded) {
        for table in declared::SCHEMA.tables() {
            let mut changes: Vec<_> = folded.changes(table.id()).collect();
            changes.sort_by_key(|&(key, _)| key);
            for (key, value) in changes {
                self.apply(&Change { key, value: value.cloned() });
            }
        }
    }
}

struct TestGroup {
    first: Position,
    last: Position,
    changes: Vec<Change>,
}

/// Groups of submissions as changes with positions.
fn groups(history: &[Vec<Vec<Step>>]) -> Vec<TestGroup> {
    let (mut caller, mut next) = (Caller::default(), Position(1));
    let group = |turns: &Vec<Vec<Step>>| {
        let (first, mut changes) = (next, Vec::new());
        for turn in turns {
            for step in turn {
                let (key, byte) = match *step {
                    Step::Enqueue { partition, value: byte } => (declared::inbox(Partition(partition), next), byte),
                    Step::Dispatch { partition, value: byte } => (declared::outbox(Partition(partition), next), byte),
                    _ => {
                        changes.extend(caller.change(step));
                        continue;
                    }
                };
                changes.push(Change { key, value: Some(value(byte)) });
                caller.queued.push(key);
                next = next.next();
            }
            next = next.next();
        }
        TestGroup { first, last: Position(next.0 - 1), changes }
    };
    history.iter().map(group).collect()
}

fn any_history() -> impl Strategy<Value = Vec<Vec<Vec<Step>>>> {
    prop::collection::vec(prop::collection::vec(any_turn(), 1..4), 1..12)
}

/// The changes that a group fold leaves, in order.
fn left(fold: &mut GroupFold, group: &TestGroup) -> Vec<Change> {
    fold.fold(group.first, group.last, &group.changes);
    group
        .changes
        .iter()
        .enumerate()
        .filter(|(index, _)| fold.is_left(*index))
        .map(|(_, change)| change.clone())
        .collect()
}

proptest! {
    /// Wherever checkpoints fall, the tables end up as if every change had been applied in turn.
    #[test]
    fn any_grouping_amounts_to_the_same(
        history in any_history(),
        checkpoints in prop::collection::vec(any::<bool>(), 12),
    ) {
        let (mut oracle, mut tables) = (Oracle::default(), Oracle::default());
        let (mut fold, mut active) = (GroupFold::default(), Folded::default());
        for (number, group) in groups(&history).iter().enumerate() {
            let left = left(&mut fold, group);
            group.changes.iter().for_each(|change| oracle.apply(change));
            active.absorb(Group(number as u64 + 1), group.first, group.last, Chain::default(), left.into_iter());
            let keys: Vec<Key> = group.changes.iter().map(|change| change.key).collect();
            for key in keys {
                let seen = match active.get(&key) {
                    Known::Value(value) => Some(value),
                    Known::Deleted => None,
                    Known::Unknown => tables.records.get(&key).cloned(),
                };
                prop_assert_eq!(seen.as_ref(), oracle.records.get(&key), "{:?}", key);
            }
            if checkpoints[number] {
                tables.apply_folded(&active.take());
                prop_assert_eq!(&tables, &oracle);
            }
        }
        tables.apply_folded(&active);
        prop_assert_eq!(tables, oracle);
    }

    /// Folding a group changes how much is written, not what it means; what it makes and deletes is not written.
    #[test]
    fn a_folded_group_means_the_same(history in any_history()) {
        let (mut all, mut folded, mut fold) = (Oracle::default(), Oracle::default(), GroupFold::default());
        for group in groups(&history) {
            let left = left(&mut fold, &group);
            group.changes.iter().for_each(|change| all.apply(change));
            left.iter().for_each(|change| folded.apply(change));
            prop_assert_eq!(&all, &folded);
            for change in left {
                if change.key.table().is_queue() && change.key.position() >= Some(group.first) {
                    prop_assert!(change.value.is_some() && all.records.contains_key(&change.key));
                }
            }
        }
    }

    /// The account of bytes is that of what is held.
    #[test]
    fn bytes_are_counted_right(history in any_history()) {
        let (mut fold, mut active) = (GroupFold::default(), Folded::default());
        for (number, group) in groups(&history).iter().enumerate() {
            let left = left(&mut fold, group).into_iter();
            active.absorb(Group(number as u64 + 1), group.first, group.last, Chain::default(), left);
            let changes = declared::SCHEMA.tables().iter().flat_map(|table| active.changes(table.id()));
            let held: usize = changes.map(|(_, value)| cost(value)).sum();
            prop_assert_eq!(active.bytes(), held);
        }
    }
}

fn put(key: Key) -> Change {
    Change { key, value: Some(Bytes::from_static(b"x")) }
}

fn delete(key: Key) -> Change {
    Change { key, value: None }
}

#[test]
fn a_record_that_comes_and_goes_leaves_nothing() {
    let partition = Partition(0);
    let (inbox, outbox) = (declared::inbox(partition, Position(1)), declared::outbox(partition, Position(2)));
    let mut active = Folded::default();
    let made = [put(inbox), put(attempts(inbox)), put(outbox)];
    active.absorb(Group(1), Position(1), Position(3), Chain::default(), made.into_iter());
    assert_eq!(active.len(), 3);
    active.absorb(Group(2), Position(4), Position(4), Chain::default(), [delete(inbox), delete(outbox)].into_iter());
    assert_eq!((active.len(), active.bytes()), (0, 0));
    assert!(!active.is_empty(), "two groups were added");

    let changes = vec![put(inbox), put(outbox), put(attempts(inbox)), delete(outbox), delete(inbox)];
    let group = TestGroup { first: Position(1), last: Position(3), changes };
    assert_eq!(left(&mut GroupFold::default(), &group), []);
}

#[test]
fn the_end_of_an_older_record_is_kept_for_its_table_alone() {
    let (partition, position) = (Partition(0), Position(1));
    let (inbox, outbox) = (declared::inbox(partition, position), declared::outbox(partition, position));
    let changes = vec![put(attempts(inbox)), delete(outbox)];
    let group = TestGroup { first: Position(5), last: Position(5), changes: changes.clone() };
    assert_eq!(left(&mut GroupFold::default(), &group), changes, "attempts belong to the inbox");
    let mut active = Folded::default();
    active.absorb(Group(2), group.first, group.last, Chain::default(), changes.into_iter());
    let known = |active: &Folded| [inbox, outbox, attempts(inbox)].map(|key| active.get(&key));
    assert_eq!(known(&active), [Known::Unknown, Known::Deleted, Known::Value(Bytes::from_static(b"x"))]);
    active.absorb(Group(3), Position(6), Position(6), Chain::default(), [delete(inbox)].into_iter());
    assert_eq!(known(&active), [Known::Deleted, Known::Deleted, Known::Deleted]);
    assert_eq!(active.len(), 2, "both ends, though they share a position");
}
