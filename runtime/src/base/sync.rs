//! The locks of what is checked under all interleavings of its threads (`mailbox/tests.rs`): the standard library's, or
//! loom's where that runs it.

pub(crate) use std::sync::PoisonError;

#[cfg(all(test, feature = "loom"))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, feature = "loom")))]
pub(crate) use std::sync::{Mutex, MutexGuard};
