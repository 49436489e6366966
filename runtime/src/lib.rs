//! Durable actors. `docs` follow.
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as everpost;

mod activation;
mod actor;
mod address;
mod ask;
mod attempts;
mod clock;
mod config;
mod core;
mod dead_letters;
mod directory;
mod durable;
mod envelope;
mod failure;
mod gate;
mod hand;
mod handle;
mod mailbox;
mod message;
mod node;
mod quarantine;
mod query;
mod refusal;
mod state;
mod supervision;
mod telemetry;
mod turn;

pub use everpost_macros::Message;
pub use everpost_persistence::{
    AdmissionError, CommitError, Config as StoreConfig, OpenError, ReadError, Statistics as StoreStatistics,
};

pub use crate::actor::{Actor, Answer, Delivery, Handler, Handlers};
pub use crate::address::{ADDRESS_BYTES_MAX, Address, AddressOf};
pub use crate::ask::Ask;
pub use crate::clock::Micros;
pub use crate::config::{ConfigError, NodeConfig};
pub use crate::dead_letters::{DeadLetter, Reason};
pub use crate::durable::Durable;
pub use crate::failure::Failure;
pub use crate::handle::{ActorHandle, Receipt};
pub use crate::mailbox::Backoff;
pub use crate::message::{Message, MessageId, UpgradeError};
pub use crate::node::{Node, NodeBuilder, NodeStatistics, StartError, StopError};
pub use crate::refusal::{AskError, QueryError, Refusal, SendError};
pub use crate::telemetry::{LogFormat, LogsError, init_logs};
pub use crate::turn::Turn;
