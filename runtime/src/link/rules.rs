//! The rules of this folder: pure, so that they are tested in virtual time, and checked by a tidy test.

pub(super) mod gathering;
