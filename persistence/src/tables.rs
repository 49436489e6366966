//! The tables: the facts of the journal, materialized, with the number of the last group that they include.
//!
//! Written by the checkpointer alone, in one transaction per checkpoint; read by anyone, in short snapshots.

mod apply;
mod chunks;
mod databases;
mod found;
mod open;
mod scrub;
mod snapshot;
mod sums;

pub(crate) use self::databases::Tables;
pub(crate) use self::scrub::Scrub;
pub(crate) use self::snapshot::{Entries, Snapshot};
