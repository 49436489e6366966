//! All tables of a store.

use super::declaration::Table;
use super::id::{Role, TableId};

/// What this crate keeps under names of its own.
const RESERVED: [&str; 3] = ["meta", "chunks", "sums"];

/// The tables of a store, in the order of their numbers. What opens a store says which it has.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    tables: &'static [Table],
}

impl Schema {
    /// These tables.
    ///
    /// # Panics
    ///
    /// If they are not in the order of their numbers, or two have one name or one that this crate uses; or if a queue
    /// or its companion is missing, or the companion does not come after it. In a constant that is an error of the
    /// compiler.
    #[must_use]
    pub const fn new(tables: &'static [Table]) -> Self {
        let schema = Self { tables };
        let mut at = 0;
        while at < tables.len() {
            let id = tables[at].id();
            assert!(at == 0 || tables[at - 1].id().number() < id.number(), "tables are in the order of their numbers");
            let mut other = 0;
            while other < at {
                assert!(!is_same(tables[at].name(), tables[other].name()), "two tables have one name");
                other += 1;
            }
            let mut reserved = 0;
            while reserved < RESERVED.len() {
                assert!(!is_same(tables[at].name(), RESERVED[reserved]), "`meta`, `chunks` and `sums` are taken");
                reserved += 1;
            }
            if let Some(companion) = id.companion() {
                assert!(schema.has(companion), "the companion of a queue is not declared");
                assert!(companion.number() > id.number(), "a companion comes after its queue");
            }
            if let Some(queue) = id.queue() {
                assert!(schema.has(queue), "the queue of a companion is not declared, or not with it");
            }
            at += 1;
        }
        schema
    }

    /// The tables, in the order of their numbers.
    #[must_use]
    pub const fn tables(&self) -> &'static [Table] {
        self.tables
    }

    /// The format of a store that is opened with these tables: the newest that either this crate or one of them
    /// brought.
    #[must_use]
    pub const fn format(&self) -> u32 {
        let (mut format, mut at) = (crate::format::FORMAT_VERSION, 0);
        while at < self.tables.len() {
            if self.tables[at].since() > format {
                format = self.tables[at].since();
            }
            at += 1;
        }
        format
    }

    /// The table with this number.
    #[inline]
    pub(crate) fn of_number(&self, number: u8) -> Option<&'static Table> {
        // Nearly always the numbers have no gaps.
        match self.tables.get(usize::from(number).wrapping_sub(1)) {
            Some(table) if table.id().number() == number => Some(table),
            _ => self.tables.iter().find(|table| table.id().number() == number),
        }
    }

    /// The table with this name.
    pub(crate) fn of_name(&self, name: &[u8]) -> Option<&'static Table> {
        self.tables.iter().find(|table| table.name().as_bytes() == name)
    }

    /// The declaration of a table.
    ///
    /// # Panics
    ///
    /// If the store was opened without it, or with another declaration: a defect of the caller.
    #[inline]
    pub(crate) fn table(&self, id: TableId) -> &'static Table {
        match self.of_number(id.number()) {
            Some(table) if table.id().is_same_declaration(id) => table,
            _ => panic!("the store was opened without a table of number {} that is declared like this", id.number()),
        }
    }

    /// One more than the greatest number of a table.
    pub(crate) fn numbers_end(&self) -> usize {
        self.tables.last().map_or(0, |table| usize::from(table.id().number()) + 1)
    }

    const fn has(&self, id: TableId) -> bool {
        let mut at = 0;
        while at < self.tables.len() {
            let other = self.tables[at].id();
            if other.number() == id.number() {
                return match (other.role(), id.role()) {
                    (Role::Queue { companion: Some(one) }, Role::Queue { companion: Some(other) }) => {
                        one.get() == other.get()
                    }
                    (Role::Companion { queue: one }, Role::Companion { queue: other }) => one.get() == other.get(),
                    _ => false,
                };
            }
            at += 1;
        }
        false
    }
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
