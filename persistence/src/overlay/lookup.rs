//! Reads of records by their keys: those that memory does not know come from a snapshot of the tables that belongs to
//! it.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::error::ReadError;
use crate::fold::Known;
use crate::key::Key;
use crate::tables::Snapshot;

/// What memory knows of some records.
#[derive(Debug)]
pub(crate) struct Lookup {
    known: Vec<Known>,
}

impl Lookup {
    pub(crate) const fn new(known: Vec<Known>) -> Self {
        Self { known }
    }

    /// Whether the tables are not needed.
    pub(crate) fn is_complete(&self) -> bool {
        !self.known.iter().any(|known| matches!(known, Known::Unknown))
    }

    /// The records, up to the first that `admit` refuses by its size. The snapshot was opened under the guard under
    /// which this was looked up; it may be missing where this is complete.
    pub(crate) fn records_while(
        self,
        keys: &[Key],
        snapshot: Option<&Snapshot<'_>>,
        admit: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        let mut found = Vec::with_capacity(keys.len());
        for (key, known) in keys.iter().zip(self.known) {
            found.push(match known {
                Known::Value(value) if admit(value.len()) => Some(value),
                Known::Value(_) => break,
                Known::Deleted => None,
                Known::Unknown => {
                    let snapshot = snapshot.expect("it was opened for what is missing");
                    match snapshot.get_if(key, &mut *admit)? {
                        ControlFlow::Continue(record) => record,
                        ControlFlow::Break(()) => break,
                    }
                }
            });
        }
        Ok(found)
    }
}
