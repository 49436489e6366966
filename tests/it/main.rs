//! Whole nodes, in this process and in others that are killed: one binary, so that linking is paid once.
#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions that are marked as one")]

mod bite;
mod bounds;
mod builds;
mod capacity;
mod child;
mod damage;
mod durability;
mod failures;
mod inside;
mod logs;
mod messages;
mod passivation;
mod poison;
mod quarantine;
mod questions;
mod recovery;
mod retries;
mod stop;
mod tidy;
