//! Folding against a map that applies every change in turn.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::MailboxId;

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
                if let Key::Inbox { partition, position } = change.key {
                    self.records.remove(&Key::Attempts { partition, position });
                }
            }
        }
    }

    /// As the checkpointer does it: table by table, in key order.
    fn apply_folded(&mut self, folded: &Folded) {
        for table in Table::ALL {
            let mut changes: Vec<_> = folded.changes(table).collect();
            changes.sort_by_key(|&(key, _)| key);
            for (key, value) in changes {
                self.apply(&Change { key, value: value.clone() });
            }
        }
    }
}

/// One thing that a caller does; `pick` chooses among the records enqueued so far.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Enqueue { partition: u16, value: u8 },
    DeleteInbox { pick: prop::sample::Index },
    PutAttempts { pick: prop::sample::Index, value: u8 },
    DeleteAttempts { pick: prop::sample::Index },
    Put { mailbox: u128, reply: bool, value: u8 },
    Delete { mailbox: u128, reply: bool },
}

/// One submission.
pub(crate) fn any_turn() -> impl Strategy<Value = Vec<Step>> {
    let pick = any::<prop::sample::Index>;
    let step = prop_oneof![
        4 => (0..3_u16, any::<u8>()).prop_map(|(partition, value)| Step::Enqueue { partition, value }),
        3 => pick().prop_map(|pick| Step::DeleteInbox { pick }),
        2 => (pick(), any::<u8>()).prop_map(|(pick, value)| Step::PutAttempts { pick, value }),
        1 => pick().prop_map(|pick| Step::DeleteAttempts { pick }),
        2 => (0..4_u128, any::<bool>(), any::<u8>())
            .prop_map(|(mailbox, reply, value)| Step::Put { mailbox, reply, value }),
        1 => (0..4_u128, any::<bool>()).prop_map(|(mailbox, reply)| Step::Delete { mailbox, reply }),
    ];
    prop::collection::vec(step, 0..6)
}

/// Turns steps into changes; gives out positions as the queue does.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    pub(crate) enqueued: Vec<(Partition, Position)>,
}

impl Caller {
    /// The change of a step that is not an enqueue; `None` if there is nothing to pick from.
    pub(crate) fn change(&self, step: &Step) -> Option<Change> {
        let picked = |pick: &prop::sample::Index| (!self.enqueued.is_empty()).then(|| *pick.get(&self.enqueued));
        let value = |value: u8| Some(Bytes::from(vec![value; usize::from(value) % 5]));
        let mailbox_key = |mailbox: u128, reply: bool| {
            let (partition, mailbox) = (Partition((mailbox % 3) as u16), MailboxId(mailbox));
            if reply { Key::Reply { partition, mailbox, request: 7 } } else { Key::Mailbox { partition, mailbox } }
        };
        Some(match step {
            Step::Enqueue { .. } => return None,
            Step::DeleteInbox { pick } => {
                let (partition, position) = picked(pick)?;
                Change { key: Key::Inbox { partition, position }, value: None }
            }
            Step::PutAttempts { pick, value: byte } => {
                let (partition, position) = picked(pick)?;
                Change { key: Key::Attempts { partition, position }, value: value(*byte) }
            }
            Step::DeleteAttempts { pick } => {
                let (partition, position) = picked(pick)?;
                Change { key: Key::Attempts { partition, position }, value: None }
            }
            Step::Put { mailbox, reply, value: byte } => {
                Change { key: mailbox_key(*mailbox, *reply), value: value(*byte) }
            }
            Step::Delete { mailbox, reply } => Change { key: mailbox_key(*mailbox, *reply), value: None },
        })
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
                if let Step::Enqueue { partition, value } = step {
                    let partition = Partition(*partition);
                    changes.push(Change {
                        key: Key::Inbox { partition, position: next },
                        value: Some(vec![*value].into()),
                    });
                    caller.enqueued.push((partition, next));
                    next = next.next();
                } else {
                    changes.extend(caller.change(step));
                }
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
            active.absorb(Group(number as u64 + 1), group.first, group.last, left.into_iter());
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

    /// Folding a group changes how much is written, not what it means; what it enqueues and deletes is not written.
    #[test]
    fn a_folded_group_means_the_same(history in any_history()) {
        let (mut all, mut folded, mut fold) = (Oracle::default(), Oracle::default(), GroupFold::default());
        for group in groups(&history) {
            let left = left(&mut fold, &group);
            group.changes.iter().for_each(|change| all.apply(change));
            left.iter().for_each(|change| folded.apply(change));
            prop_assert_eq!(&all, &folded);
            for change in left {
                if let Key::Inbox { position, .. } = change.key && position >= group.first {
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
            active.absorb(Group(number as u64 + 1), group.first, group.last, left(&mut fold, group).into_iter());
            let changes = Table::ALL.iter().flat_map(|&table| active.changes(table));
            let held: usize = changes.map(|(_, value)| cost(value.as_ref())).sum();
            prop_assert_eq!(active.bytes(), held);
        }
    }
}

#[test]
fn a_record_that_comes_and_goes_leaves_nothing() {
    let (partition, position) = (Partition(0), Position(1));
    let (inbox, attempts) = (Key::Inbox { partition, position }, Key::Attempts { partition, position });
    let put = |key| Change { key, value: Some(Bytes::from_static(b"x")) };
    let mut active = Folded::default();
    active.absorb(Group(1), Position(1), Position(2), [put(inbox), put(attempts)].into_iter());
    assert_eq!(active.len(), 2);
    active.absorb(Group(2), Position(3), Position(3), [Change { key: inbox, value: None }].into_iter());
    assert_eq!((active.len(), active.bytes()), (0, 0));
    assert!(!active.is_empty(), "two groups were added");
}
