//! What callers hold: handles, posts, asks, queries, receipts, pauses.

pub(crate) mod ask;
pub(crate) mod handle;
pub(crate) mod pause;
pub(crate) mod post;
pub(crate) mod query;
pub(crate) mod receipt;
pub(crate) mod sending;
