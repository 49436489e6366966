//! Reads of many records: the overlay and the tables, merged, as of one moment.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Layers, Overlay};
use crate::error::ReadError;
use crate::fold::Known;
use crate::key::Key;
use crate::table::TableId;
use crate::tables::Tables;

impl Overlay {
    /// Visits every record of a table in key order, as of one moment, until `visit` breaks.
    pub(crate) fn scan(
        &self,
        table: TableId,
        mut visit: impl FnMut(&Key, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let (tables, changes);
        let snapshot = {
            // Both under one guard: a checkpoint in between would be in neither or in both.
            let layers = self.read();
            tables = layers.tables()?.clone();
            changes = changes_of(&layers, table);
            tables.snapshot()?
        };
        let mut changes = changes.into_iter().peekable();
        for record in snapshot.iterate(table)? {
            let (key, stored) = record?;
            while let Some((key, change)) = changes.next_if(|(change, _)| *change < key) {
                if let Some(value) = change
                    && visit(&key, &value).is_break()
                {
                    return Ok(());
                }
            }
            let flow = match changes.next_if(|(change, _)| *change == key) {
                Some((_, Some(value))) => visit(&key, &value),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(&key, &snapshot.value(&key, stored)?),
            };
            if flow.is_break() {
                return Ok(());
            }
        }
        for (key, change) in changes {
            if let Some(value) = change
                && visit(&key, &value).is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads records as of one moment, up to the first that `admit` refuses by its size; the tables are opened only if something is
    /// missing in memory.
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

/// What both layers say about a table, in key order; the active layer over the frozen one.
fn changes_of(layers: &Layers, table: TableId) -> Vec<(Key, Option<Bytes>)> {
    let mut changes: Vec<(Key, Option<Bytes>)> = Vec::new();
    let newest_first = [Some(&layers.active), layers.frozen.as_deref()].into_iter().flatten();
    for layer in newest_first {
        changes.extend(layer.changes(table).map(|(key, value)| (key, value.cloned())));
        if let Some(queue) = table.queue() {
            // What came after the deletion of its record is before this in the vector, and stays.
            let deleted = layer.changes(queue).filter(|(_, value)| value.is_none());
            changes.extend(deleted.filter_map(|(key, _)| Some((key.companion()?, None))));
        }
    }
    changes.sort_by_key(|&(key, _)| key);
    changes.dedup_by_key(|&mut (key, _)| key);
    changes
}
