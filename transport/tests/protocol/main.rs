//! The link protocol under thousands of schedules of what can go wrong, each from a seed; the same with planted bugs,
//! to see whether the oracle bites; and all schedules of a small model.

mod bugs;
mod conversation;
mod faults;
mod list;
mod model;
mod network;
mod oracle;
mod plan;
mod process;
mod schedules;
mod seeds;
mod store;
mod world;
