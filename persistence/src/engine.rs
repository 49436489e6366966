//! What makes submissions durable: the writer and the checkpointer, each a thread, and what they share.

mod checkpointer;
mod checkpoints;
mod shared;
mod threads;
mod watermarks;
mod writer;

pub(crate) use self::checkpointer::Upkeep;
pub(crate) use self::shared::Shared;
pub(crate) use self::threads::Running;
pub(crate) use self::watermarks::Watermarks;
