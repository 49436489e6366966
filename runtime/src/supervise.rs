//! The tree of everything that runs: activations by actor type, groups of tasks, and the tasks of the node itself.

pub(crate) mod group;
pub(crate) mod supervision;
mod worker;
