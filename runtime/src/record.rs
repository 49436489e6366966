//! Records that the store keeps beside messages, with their versions.

pub(crate) mod attempts;
pub(crate) mod budget;
pub(crate) mod supervised;
