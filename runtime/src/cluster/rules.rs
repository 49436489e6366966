//! The rules of this folder: pure, so that they are tested in virtual time, and checked by a tidy test.

pub(crate) mod known_stores;
pub(crate) mod name_lease;
pub(crate) mod notes;
pub(crate) mod placement;
pub(crate) mod remote_queries;
