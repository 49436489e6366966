//! Reads of many records: the overlay and the tables, merged, as of one moment.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Overlay;
use super::changes::changes_of;
use super::step::{step, visit_all};
use crate::error::ReadError;
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

    /// Reads records as of one moment; the tables are opened only if something is missing in memory.
    pub(crate) fn records(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let tables: Tables;
        let (lookup, snapshot) = {
            let layers = self.read();
            let lookup = layers.look_up(keys);
            tables = layers.tables()?.clone();
            let snapshot = if lookup.is_complete() { None } else { Some(tables.snapshot()?) };
            (lookup, snapshot)
        };
        lookup.records_while(keys, snapshot.as_ref(), &mut |_| true)
    }

    /// Reads records without waiting for anything, up to the first that `admit` refuses by its size: `None` if the
    /// tables are needed, or the writer is at work on what is in memory.
    pub(crate) fn records_in_memory(
        &self,
        keys: &[Key],
        admit: &mut dyn FnMut(usize) -> bool,
    ) -> Option<Result<Vec<Option<Bytes>>, ReadError>> {
        let lookup = {
            let layers = self.try_read()?;
            if let Err(closed) = layers.tables() {
                return Some(Err(closed));
            }
            layers.look_up(keys)
        };
        lookup.is_complete().then(|| lookup.records_while(keys, None, admit))
    }
}
