//! What is durable in the journal and not in the tables yet, in memory, so that reads see it.
//!
//! Two layers: groups are folded into the active one; the checkpointer freezes it, writes it to the tables, and drops
//! it only after that commit. A reader looks here first and opens its snapshot of the tables afterwards, so a record
//! that leaves in between is in the snapshot.

mod changes;
mod lookup;
mod merged;
mod scan;
mod step;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use bytes::Bytes;

pub(crate) use self::changes::changes_of;
pub(crate) use self::lookup::Lookup;
pub(crate) use self::step::{step, visit_all};
use crate::error::ReadError;
use crate::fold::{Folded, Known};
use crate::key::Key;
use crate::tables::Tables;

#[derive(Debug)]
pub(crate) struct Overlay {
    layers: RwLock<Layers>,
}

#[derive(Debug)]
pub(crate) struct Layers {
    pub(crate) active: Folded,
    pub(crate) frozen: Option<Arc<Folded>>,
    /// `None` once the store is closed.
    tables: Option<Tables>,
}

/// How much is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    pub(crate) bytes: usize,
    pub(crate) changes: usize,
    /// No group waits for a checkpoint, not even one without changes.
    pub(crate) nothing: bool,
}

impl Overlay {
    pub(crate) fn new(tables: Tables, active: Folded) -> Self {
        Self { layers: RwLock::new(Layers { active, frozen: None, tables: Some(tables) }) }
    }

    /// Everything at one moment, as long as the guard is held; the writer waits meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless somebody changes it right now.
    pub(crate) fn try_read(&self) -> Option<RwLockReadGuard<'_, Layers>> {
        match self.layers.try_read() {
            Ok(layers) => Some(layers),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Changes the active layer; how much is held afterwards in both.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Folded)) -> Held {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut layers.active);
        layers.held()
    }

    /// Moves the active layer behind, and returns it; `None` if there is nothing in it.
    pub(crate) fn freeze(&self) -> Option<Arc<Folded>> {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        assert!(layers.frozen.is_none(), "one checkpoint at a time");
        if layers.active.is_empty() {
            return None;
        }
        let frozen = Arc::new(layers.active.take());
        layers.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    /// Drops the frozen layer, once the tables have it; how much is held afterwards.
    pub(crate) fn thaw(&self) -> Held {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        let frozen = layers.frozen.take();
        let held = layers.held();
        drop(layers);
        // Freeing many small values takes a while; nobody has to wait for it.
        drop(frozen);
        held
    }

    /// Takes the tables away; reads fail from here on.
    pub(crate) fn close(&self) -> Option<Tables> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner).tables.take()
    }

    /// Reads a record: here, or else in the tables.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Bytes>, ReadError> {
        let tables = {
            let layers = self.read();
            match layers.get(key) {
                Known::Value(value) => return Ok(Some(value)),
                Known::Deleted => return Ok(None),
                // The tables are read without the guard: that may wait for the disk.
                Known::Unknown => layers.tables()?.clone(),
            }
        };
        tables.snapshot()?.get(key)
    }
}

impl Layers {
    pub(crate) fn get(&self, key: &Key) -> Known {
        match (self.active.get(key), &self.frozen) {
            (Known::Unknown, Some(frozen)) => frozen.get(key),
            (known, _) => known,
        }
    }

    /// What memory knows of these records.
    pub(crate) fn look_up(&self, keys: &[Key]) -> Lookup {
        Lookup::new(keys.iter().map(|key| self.get(key)).collect())
    }

    /// Those in memory, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Folded> {
        [Some(&self.active), self.frozen.as_deref()].into_iter().flatten()
    }

    pub(crate) fn tables(&self) -> Result<&Tables, ReadError> {
        self.tables.as_ref().ok_or(ReadError::Closed)
    }

    pub(crate) fn held(&self) -> Held {
        let frozen = self.frozen.as_deref();
        Held {
            bytes: self.active.bytes() + frozen.map_or(0, Folded::bytes),
            changes: self.active.len() + frozen.map_or(0, Folded::len),
            nothing: self.active.is_empty() && frozen.is_none(),
        }
    }
}
