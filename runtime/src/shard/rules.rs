//! The rules of this folder: pure, so that they are tested in virtual time, and checked by a tidy test.

pub(crate) mod dead_letters;
pub(crate) mod lately;
pub(crate) mod places;
pub(crate) mod restart;
pub(crate) mod share;
