//! Which table: its number on the disk, and what a key has to know of it without asking anybody.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU8;

/// Names a table. Made by declaring one, see [`Table`](crate::Table).
#[derive(Clone, Copy)]
pub struct TableId {
    number: u8,
    role: Role,
}

/// What the records of a table are to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// They are set and deleted by their keys.
    Keyed { is_partitioned: bool },
    /// They are enqueued and get a position.
    Queue { companion: Option<NonZeroU8> },
    /// Each goes with the record of a queue.
    Companion { queue: NonZeroU8 },
}

impl TableId {
    pub(super) const fn new(number: NonZeroU8, role: Role) -> Self {
        Self { number: number.get(), role }
    }

    pub(super) const fn role(self) -> Role {
        self.role
    }

    /// The number of the table on disk.
    #[inline]
    pub(crate) const fn number(self) -> u8 {
        self.number
    }

    /// Whether its keys begin with a partition.
    #[inline]
    pub(crate) const fn is_partitioned(self) -> bool {
        !matches!(self.role, Role::Keyed { is_partitioned: false })
    }

    /// Whether its records are enqueued: written once, deleted once, each with a position of its own.
    #[inline]
    pub(crate) const fn is_queue(self) -> bool {
        matches!(self.role, Role::Queue { .. })
    }

    /// Whether its records go with those of a queue.
    #[inline]
    pub(crate) const fn is_companion(self) -> bool {
        matches!(self.role, Role::Companion { .. })
    }

    /// Whether the position in its keys is one that the store has given out.
    #[inline]
    pub(crate) const fn has_positions(self) -> bool {
        !matches!(self.role, Role::Keyed { .. })
    }

    /// The table whose records go with those of this one.
    #[inline]
    pub(crate) const fn companion(self) -> Option<Self> {
        match (self.role, NonZeroU8::new(self.number)) {
            (Role::Queue { companion: Some(companion) }, Some(queue)) => {
                Some(Self::new(companion, Role::Companion { queue }))
            }
            _ => None,
        }
    }

    /// The queue with whose records those of this table go.
    #[inline]
    pub(crate) const fn queue(self) -> Option<Self> {
        match (self.role, NonZeroU8::new(self.number)) {
            (Role::Companion { queue }, companion) => Some(Self::new(queue, Role::Queue { companion })),
            _ => None,
        }
    }

    /// Whether both were declared alike.
    #[inline]
    pub(super) fn is_same_declaration(self, other: Self) -> bool {
        self.number == other.number && self.role == other.role
    }
}

/// Within one store a number stands for one declaration.
impl PartialEq for TableId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for TableId {}

impl PartialOrd for TableId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TableId {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl Hash for TableId {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Debug for TableId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TableId({})", self.number)
    }
}
