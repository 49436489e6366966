//! The log of groups: what is in it is durable, everything else only follows.

mod contract;
mod journal;
#[cfg(test)]
pub(crate) mod memory;

pub use self::contract::{Log, LogEntry};
pub(crate) use self::journal::{Journal, damage};

#[cfg(test)]
mod tests;
