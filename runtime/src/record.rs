//! Records that the store keeps beside messages, with their versions.

pub(crate) mod answered;
pub(crate) mod asked;
pub(crate) mod attempts;
pub(crate) mod budget;
pub(crate) mod dead_letter;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod state_size;
pub(crate) mod supervised;
