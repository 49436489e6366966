//! Reads of many records: the overlay and the tables, merged, as of one moment.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Overlay;
use super::changes::changes_of;
use super::step::{step, visit_all};
use crate::error::ReadError;
use crate::fold::Known;
use crate::key::Key;
use crate::range::{Range, RangeStep};
use crate::table::Table;
use crate::tables::Tables;

impl Overlay {
    /// Visits every record of a table in key order, as of one moment, until `visit` breaks.
    pub(crate) fn scan(
        &self,
        table: &Table,
        mut visit: impl FnMut(&Key, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let (tables, changes);
        let range = Range::of(table);
        let snapshot = {
            // Both under one guard: a checkpoint in between would be in neither or in both.
            let layers = self.read();
            tables = layers.tables()?.clone();
            changes = changes_of(layers.newest_first(), &range, usize::MAX);
            tables.snapshot()?
        };
        visit_all(changes, &snapshot, &range, &mut visit)
    }

    /// Reads so many records of a range, and so many bytes of values, at most; one record in any case, if there is one
    /// before the work of a step is done. All as of one moment.
    pub(crate) fn range(&self, range: &Range, records_max: usize, bytes_max: usize) -> Result<RangeStep, ReadError> {
        let (tables, changes);
        let snapshot = {
            let layers = self.read();
            tables = layers.tables()?.clone();
            changes = changes_of(layers.newest_first(), range, records_max.max(1));
            tables.snapshot()?
        };
        step(changes, &snapshot, range, records_max, bytes_max)
    }

    /// Reads records as of one moment, up to the first that `admit` refuses by its size; the tables are opened only if
    /// something is missing in memory.
    pub(crate) fn records_while(
        &self,
        keys: &[Key],
        mut admit: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        let tables: Tables;
        let (known, snapshot) = {
            let layers = self.read();
            let known: Vec<Known> = keys.iter().map(|key| layers.get(key)).collect();
            tables = layers.tables()?.clone();
            let is_missing = known.iter().any(|known| matches!(known, Known::Unknown));
            (known, if is_missing { Some(tables.snapshot()?) } else { None })
        };
        let mut found = Vec::with_capacity(keys.len());
        for (key, known) in keys.iter().zip(known) {
            found.push(match known {
                Known::Value(value) if admit(value.len()) => Some(value),
                Known::Value(_) => break,
                Known::Deleted => None,
                Known::Unknown => {
                    let snapshot = snapshot.as_ref().expect("it was opened for what is missing");
                    match snapshot.get_if(key, &mut admit)? {
                        ControlFlow::Continue(record) => record,
                        ControlFlow::Break(()) => break,
                    }
                }
            });
        }
        Ok(found)
    }
}
