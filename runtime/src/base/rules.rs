//! The rules of this folder: pure, so that they are tested in virtual time, and checked by a tidy test.

pub(crate) mod allowance;
pub(crate) mod backoff;
pub(crate) mod room;
pub(crate) mod wakers;
pub(crate) mod wheel;
