//! What callers hold: handles, sends, asks, queries, receipts, pauses.

pub(crate) mod ask;
pub(crate) mod dead_letters;
pub(crate) mod handle;
pub(crate) mod pause;
pub(crate) mod query;
pub(crate) mod receipt;
pub(crate) mod send_builder;
pub(crate) mod sending;
pub(crate) mod timer_list;
pub(crate) mod timers;
