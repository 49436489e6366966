//! What a caller may do, as values to draw at random.

use bytes::Bytes;
use proptest::prelude::*;

use crate::batch::Change;
use crate::declared;
use crate::key::Key;
use crate::key::tests::key_of;
use crate::record::VALUE_BYTES_MAX;
use crate::table::Table;

/// One thing that a caller does; `pick` chooses among the records enqueued or dispatched so far.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Enqueue {
        partition: u16,
        value: u8,
    },
    Dispatch {
        partition: u16,
        value: u8,
    },
    /// `astray` names the same position in the other table, where nothing is.
    DeleteQueued {
        pick: prop::sample::Index,
        astray: bool,
    },
    PutAttempts {
        pick: prop::sample::Index,
        value: u8,
    },
    DeleteAttempts {
        pick: prop::sample::Index,
    },
    Put {
        table: Table,
        name: u128,
        value: u8,
    },
    Delete {
        table: Table,
        name: u128,
    },
}

/// One submission.
pub(crate) fn any_turn() -> impl Strategy<Value = Vec<Step>> {
    let pick = any::<prop::sample::Index>;
    let named = || {
        let tables: Vec<Table> =
            declared::SCHEMA.tables().iter().copied().filter(|table| !table.id().has_positions()).collect();
        (prop::sample::select(tables), 0..3_u128)
    };
    let step = prop_oneof![
        3 => (0..3_u16, any::<u8>()).prop_map(|(partition, value)| Step::Enqueue { partition, value }),
        2 => (0..3_u16, any::<u8>()).prop_map(|(partition, value)| Step::Dispatch { partition, value }),
        4 => (pick(), prop::bool::weighted(0.1)).prop_map(|(pick, astray)| Step::DeleteQueued { pick, astray }),
        2 => (pick(), any::<u8>()).prop_map(|(pick, value)| Step::PutAttempts { pick, value }),
        1 => pick().prop_map(|pick| Step::DeleteAttempts { pick }),
        2 => (named(), any::<u8>()).prop_map(|((table, name), value)| Step::Put { table, name, value }),
        1 => named().prop_map(|(table, name)| Step::Delete { table, name }),
    ];
    prop::collection::vec(step, 0..6)
}

/// Turns steps into changes; gives out positions as the queue does.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    pub(crate) queued: Vec<Key>,
}

impl Caller {
    /// The change of a step that makes no new record; `None` if there is nothing to pick from.
    pub(crate) fn change(&self, step: &Step) -> Option<Change> {
        let picked = |pick: &prop::sample::Index| (!self.queued.is_empty()).then(|| *pick.get(&self.queued));
        let value = |byte: u8| Some(value(byte));
        Some(match step {
            Step::Enqueue { .. } | Step::Dispatch { .. } => return None,
            Step::DeleteQueued { pick, astray } => {
                let key = picked(pick)?;
                Change { key: if *astray { other(key) } else { key }, value: None }
            }
            Step::PutAttempts { pick, value: byte } => Change { key: attempts(picked(pick)?), value: value(*byte) },
            Step::DeleteAttempts { pick } => Change { key: attempts(picked(pick)?), value: None },
            Step::Put { table, name, value: byte } => Change { key: named(table, *name), value: value(*byte) },
            Step::Delete { table, name } => Change { key: named(table, *name), value: None },
        })
    }
}

/// The value that a byte stands for: mostly short, but also those that are cut into chunks, and at the limits of that.
pub(crate) fn value(byte: u8) -> Bytes {
    let few = usize::from(byte) % 5;
    let length = match byte / 32 {
        0..=4 => few,
        5 => VALUE_BYTES_MAX - 2 + few,
        6 => 2 * VALUE_BYTES_MAX - 2 + few,
        _ => few * VALUE_BYTES_MAX + 1,
    };
    (0..length).map(|index| byte.wrapping_add((index / 1000) as u8)).collect()
}

/// The key of this position and partition in the other of the two queues.
fn other(key: Key) -> Key {
    let (partition, position) = (key.partition().unwrap(), key.position().unwrap());
    let is_inbox = key.table() == declared::INBOX.id();
    if is_inbox { declared::outbox(partition, position) } else { declared::inbox(partition, position) }
}

/// The attempts at this position. Only inbox records have such, but nothing keeps a caller from it.
pub(crate) fn attempts(key: Key) -> Key {
    declared::attempts(key.partition().unwrap(), key.position().unwrap())
}

/// A key of a table whose records are not tied to a position.
fn named(table: &Table, name: u128) -> Key {
    key_of(table, [name, name, 7, 7])
}
