//! The rules of this folder: pure, so that they are tested in virtual time, and checked by a tidy test.

pub(crate) mod lately;
pub(crate) mod letters;
pub(crate) mod places;
pub(crate) mod share;
