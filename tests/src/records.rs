//! What a stopped node has left in its store.

use std::ops::ControlFlow;
use std::path::Path;

use everpost_persistence::{Store, Table};

use crate::wait::eventually;
use everpost::tables;

/// Waits until nobody has the store open any more.
///
/// # Panics
///
/// When that takes too long.
pub async fn free(folder: &Path) {
    eventually("the store is free again", || Store::inspect(folder, tables::SCHEMA).is_ok()).await;
}

/// How many records a table holds.
///
/// # Panics
///
/// When the store cannot be read.
#[must_use]
pub fn count(folder: &Path, table: Table) -> usize {
    let mut records = 0;
    let inspection = Store::inspect(folder, tables::SCHEMA).expect("the store can be read");
    let counting = |_: &_, _: &_| {
        records += 1;
        ControlFlow::Continue(())
    };
    inspection.scan(&table, counting).expect("the table can be read");
    records
}

/// How many replies, and notes of asks, a stopped node has kept.
///
/// # Panics
///
/// When the store cannot be read.
#[must_use]
pub fn replies_left(folder: &Path) -> usize {
    count(folder, tables::REPLIES)
}
