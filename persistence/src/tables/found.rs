//! What was found in tables while all of their pages were looked at, before anything in them is believed.

use super::databases::{CHUNKS, META, SUMS};
use super::sums::Sums;
use crate::error::{Damage, OpenError};
use crate::ids::Position;
use crate::reach::Reach;
use crate::table::Schema;

/// What was found so far.
#[derive(Debug)]
pub(super) struct Found {
    schema: Schema,
    sums: Sums,
    reach: Reach,
    /// The first table that has records and was declared differently, or not at all.
    undeclared: Option<Undeclared>,
}

#[derive(Debug)]
enum Undeclared {
    Table { name: String },
    Layout { table: &'static str, found: usize, declared: usize },
}

impl Found {
    pub(super) fn new(schema: Schema) -> Self {
        Self { schema, sums: Sums::default(), reach: Reach::new(schema), undeclared: None }
    }

    /// What takes note of each record.
    pub(super) fn by(&mut self) -> impl FnMut(&[u8], &[u8], &[u8]) -> Result<(), Damage> {
        |name, key, stored| match self.schema.of_name(name) {
            Some(table) if key.len() == table.key_bytes() => self.reach.note(&self.sums.note(table, key, stored)?),
            Some(table) => {
                let (found, declared) = (key.len(), table.key_bytes());
                self.undeclared.get_or_insert_with(|| Undeclared::Layout { table: table.name(), found, declared });
                Ok(())
            }
            None => {
                // One without records may be what a program of a newer format has begun to make.
                if ![META, CHUNKS, SUMS].iter().any(|ours| ours.as_bytes() == name) {
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.undeclared.get_or_insert(Undeclared::Table { name });
                }
                Ok(())
            }
        }
    }

    /// Refuses tables that are not those that were declared.
    pub(super) fn refuse_undeclared(&self) -> Result<(), OpenError> {
        match &self.undeclared {
            None => Ok(()),
            Some(Undeclared::Table { name }) => Err(OpenError::UnknownTable { table: name.clone() }),
            Some(Undeclared::Layout { table, found, declared }) => {
                Err(OpenError::TableLayout { table, found: *found, declared: *declared })
            }
        }
    }

    /// Refuses records that reach beyond what there is.
    pub(super) fn check_reach(&self, partitions: u16, last: Position) -> Result<(), Damage> {
        self.reach.check(partitions, last)
    }

    /// Refuses tables that hold something else than what was noted of them.
    pub(super) fn compare(&self, noted: &Sums) -> Result<(), OpenError> {
        self.sums.compare(&self.schema, noted)
    }

    pub(super) fn into_sums(self) -> Sums {
        self.sums
    }
}
