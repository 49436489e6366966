//! Durable records that commit together.
//!
//! A store keeps opaque records in LMDB. It knows partitions, positions and bytes; it does not know actors, messages or
//! links. What is submitted together becomes durable together or not at all, everything in one order, and what is on
//! disk after any crash is a prefix of that order.
//!
//! - Whoever opens a store declares its tables ([`Schema`]): their names, what their keys are made of, and whether
//!   records are enqueued in them or set by their keys.
//! - Everything goes through a *journal*: one record a group of submissions, one commit a record. A position at or
//!   below [`Store::durable`] is on disk.
//! - A *checkpointer* brings the *tables* up to date behind it, folded over everything since the last time, and the
//!   journal is cut off. What the tables lack is overlaid in memory, so reads see every durable record, and nothing
//!   else.
//! - Queues, groups, memory and maps are bounded by [`Config`]. Outside work is refused before the store is full;
//!   work in progress and deletions keep their headroom.
//! - [`Store::inspect`] reads a store that nobody has open, without changing it.
//! - A failed commit or sync is final: the store stops, what was reported durable is safe, and opening it again
//!   recovers.
//!
//! ```
//! use std::path::Path;
//! use everpost_persistence::{Class, Config, Partition, Schema, Store, Table};
//!
//! const INBOX: Table = Table::queue(1, "inbox", 1);
//! const TABLES: Schema = Schema::new(&[INBOX]);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let (progress, moved) = std::sync::mpsc::sync_channel(1);
//! let (store, _) = Store::open(folder, Config::default(), TABLES, move || drop(progress.try_send(())))?;
//!
//! let value = bytes::Bytes::from_static(b"hello");
//! let permit = store.try_reserve(Class::Outside, value.len())?;
//! let (ticket, position) = store.submit(permit, |stage| stage.enqueue(&INBOX, Partition(3), value));
//! while store.durable() < ticket {
//!     moved.recv()?;
//! }
//! let key = INBOX.key().partition(Partition(3)).position(position).end();
//! assert_eq!(store.get(&key)?.as_deref(), Some(&b"hello"[..]));
//! store.close()?;
//! # Ok(()) }
//! ```
//!
//! The bytes on disk are specified in `docs/FORMAT.md`.

// What the tests inside and outside of this crate declare is written once.
#[cfg(test)]
extern crate self as everpost_persistence;

mod admission;
mod batch;
mod config;
#[cfg(test)]
#[path = "../tests/it/declared.rs"]
mod declared;
mod engine;
mod error;
mod error_text;
mod files;
mod fold;
mod format;
mod hash;
mod ids;
mod inspection;
mod integers;
mod key;
mod limits;
mod lmdb;
mod log;
mod meta;
mod opening;
mod overlay;
mod queue;
mod range;
mod reach;
mod reader;
mod reads;
mod record;
mod slots;
mod statistics;
mod store;
mod table;
mod tables;

pub use self::admission::{Class, Permit};
pub use self::batch::{Batch, Change, Origin};
pub use self::config::Config;
pub use self::error::{
    AdmissionError, BatchError, CommitError, ConfigError, Damage, Environment, KeyBytes, OpenError, ProcessLimit,
    ProcessLimits, ReadError,
};
pub use self::hash::Chain;
pub use self::ids::{Epoch, Group, MailboxId, Partition, Position, ShardId};
pub use self::inspection::Inspection;
pub use self::key::{Fields, Key, KeyBuilder};
pub use self::log::{Log, LogEntry};
pub use self::opening::Opened;
pub use self::queue::Stage;
pub use self::range::{Range, RangeStep};
pub use self::reader::{Reader, View};
pub use self::reads::Admit;
pub use self::record::footprint;
pub use self::slots::{Before, InFlight, Mark, SLOTS, Slot, Slots};
pub use self::statistics::Statistics;
pub use self::store::{Newest, Store};
pub use self::table::{Field, Schema, Table, TableId};

/// What is shared between threads, or handed from one to another, and must stay so.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<(Store, Permit<'_>, Inspection, Reader, Slots, Slot)>();
    is_shared::<(Schema, Table, TableId, Field, Key, KeyBuilder, Fields<'_>, Range, RangeStep)>();
    is_shared::<(Batch, Change, Origin, Chain, LogEntry, Newest, Opened, Statistics, Config)>();
    is_shared::<(Epoch, Group, MailboxId, Partition, Position, ShardId, Mark, Before, InFlight, Class)>();
    is_shared::<(AdmissionError, BatchError, CommitError, ConfigError, OpenError, ReadError)>();
    is_shared::<(Damage, KeyBytes, Environment, ProcessLimit, ProcessLimits)>();
    const fn is_sent<T: Send>() {}
    is_sent::<(Stage<'_>, View<'_>)>();
};
