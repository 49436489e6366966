//! Reads of many records: the overlay and the tables, merged, as of one moment.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Overlay;
use super::changes::{Changes, changes_of};
use super::merged::{Found, Merged};
use crate::error::ReadError;
use crate::fold::Known;
use crate::key::Key;
use crate::range::{Range, RangeStep};
use crate::record::Stored;
use crate::table::Table;
use crate::tables::Tables;

/// A value that was not copied yet.
enum Value<'s> {
    Here(Bytes),
    Stored(Stored<'s>),
}

impl Value<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Here(value) => value.len(),
            Self::Stored(stored) => stored.value_bytes(),
        }
    }
}

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
            changes = changes_of(&layers, &range, usize::MAX).changes;
            tables.snapshot()?
        };
        for record in Merged::new(changes, snapshot.range(&range)?, range.is_backwards()) {
            let flow = match record? {
                (key, Found::Changed(Some(value))) => visit(&key, &value),
                (_, Found::Changed(None)) => ControlFlow::Continue(()),
                (key, Found::Stored(stored)) => visit(&key, &snapshot.value(&key, snapshot.checked(&key, stored)?)?),
            };
            if flow.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads so many records of a range, and so many bytes of values, at most; one record in any case, if there is one
    /// before the work of a step is done. All as of one moment.
    pub(crate) fn range(&self, range: &Range, records_max: usize, bytes_max: usize) -> Result<RangeStep, ReadError> {
        let records_max = records_max.max(1);
        let (tables, Changes { changes, reaches });
        let snapshot = {
            let layers = self.read();
            tables = layers.tables()?.clone();
            Changes { changes, reaches } = changes_of(&layers, range, records_max);
            tables.snapshot()?
        };
        let mut step = RangeStep { records: Vec::new(), rest: None };
        let mut bytes = 0;
        let is_beyond = |key: &Key| match reaches {
            Some(reaches) if range.is_backwards() => *key < reaches,
            Some(reaches) => *key > reaches,
            None => false,
        };
        for record in Merged::new(changes, snapshot.range(range)?, range.is_backwards()) {
            let (key, found) = record?;
            if is_beyond(&key) {
                break;
            }
            let found = match found {
                Found::Changed(None) => continue,
                Found::Changed(Some(value)) => Value::Here(value),
                Found::Stored(stored) => Value::Stored(snapshot.checked(&key, stored)?),
            };
            bytes += found.bytes();
            if step.records.len() == records_max || (bytes > bytes_max && !step.records.is_empty()) {
                step.rest = Some(range.from(key));
                return Ok(step);
            }
            let value = match found {
                Value::Here(value) => value,
                Value::Stored(stored) => snapshot.value(&key, stored)?.into_owned().into(),
            };
            step.records.push((key, value));
        }
        step.rest = reaches.map(|reaches| range.after(reaches));
        Ok(step)
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
