//! Reads of many records, from changes in memory and a snapshot of the tables that belong together.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::changes::Changes;
use super::merged::{Found, Merged};
use crate::error::ReadError;
use crate::key::Key;
use crate::range::{Range, RangeStep};
use crate::record::Stored;
use crate::tables::Snapshot;

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

/// Visits every record of a range, until `visit` breaks. The changes are all that there are.
pub(crate) fn visit_all(
    changes: Changes,
    snapshot: &Snapshot<'_>,
    range: &Range,
    visit: &mut dyn FnMut(&Key, &[u8]) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    for record in Merged::new(changes.changes, snapshot.range(range)?, range.is_backwards()) {
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
/// before the work of a step is done. The changes are as many as there are to be records, if there are so many.
pub(crate) fn step(
    changes: Changes,
    snapshot: &Snapshot<'_>,
    range: &Range,
    records_max: usize,
    bytes_max: usize,
) -> Result<RangeStep, ReadError> {
    let Changes { changes, reaches } = changes;
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
        if step.records.len() == records_max.max(1) || (bytes > bytes_max && !step.records.is_empty()) {
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
