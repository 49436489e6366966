//! Whole nodes, in this process and in others that are killed: one binary, so that linking is paid once.
#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions that are marked as one")]

mod away;
mod bite;
mod bounds;
mod breaches;
mod builds;
mod capacity;
mod child;
mod copies;
mod damage;
mod durability;
mod failures;
mod flattering;
mod hostile;
mod inside;
mod kills;
mod links;
mod logs;
mod messages;
mod network;
mod outbox;
mod partitions;
mod passivation;
mod placed;
mod poison;
mod quarantine;
mod questions;
mod receipts;
mod recovery;
mod relays;
mod retries;
mod stop;
mod strangers;
mod tidy;
mod windows;
mod wiped;
