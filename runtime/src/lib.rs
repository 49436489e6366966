//! Durable actors in Rust: supervised actors whose mailboxes live in a store on the local disk.
//!
//! > A handler may run more than once; its committed effects happen exactly once. Calls that a handler makes
//! > to the outside world are at-least-once, and get a key that is the same on every attempt.
//!
//! A message is kept until the turn that handles it has committed, and is replayed after any crash. What a handler
//! changes (its state, the messages it sends, its reply, the acknowledgement) commits in one transaction. All of it in
//! one process, or in several that exchange messages over QUIC, without a broker or a database server.
//!
//! ```
//! use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, Node, State, Turn};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize, State)]
//! #[state(name = "balance", version = 1)]
//! struct Balance {
//!     cents: i64,
//! }
//!
//! #[derive(Serialize, Deserialize, Message)]
//! #[message(name = "deposit", version = 1, reply = i64)]
//! struct Deposit {
//!     cents: i64,
//! }
//!
//! struct Account; // what is not durable: pools, clients, configuration
//!
//! impl Actor for Account {
//!     const TYPE: &'static str = "account";
//!     type State = Balance; // what is durable
//!
//!     fn handlers(handlers: &mut Handlers<Self>) {
//!         handlers.on::<Deposit>();
//!     }
//! }
//!
//! impl Handler<Deposit> for Account {
//!     async fn handle(
//!         &self,
//!         balance: &mut Durable<Balance>,
//!         deposit: Deposit,
//!         _turn: &mut Turn<'_>,
//!     ) -> Result<i64, Failure> {
//!         balance.cents += deposit.cents;
//!         Ok(balance.cents)
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let node = Node::builder("east", folder).actor(Account).start().await?;
//! let alice = node.actor::<Account>("alice");
//! alice.send(Deposit { cents: 500 }).await?; // durable
//! assert_eq!(alice.ask(Deposit { cents: 1 }).await?, 501);
//! node.stop().await?;
//! # Ok(()) }
//! ```
//!
//! # Where to look
//!
//! - [`Node`] opens the store and runs the actors; [`NodeConfig`] holds its settings.
//! - [`Actor`], [`State`], [`Handler`], [`Message`] and [`QueryHandler`] are what a service implements; [`Durable`],
//!   [`Turn`] and [`Failure`] are what its handlers work with.
//! - [`ActorHandle`] sends, asks and queries from outside, the same way wherever the actor lives; a [`Receipt`] tells
//!   how far a message has come.
//! - [`Priority`], [`Order`], [`SendBuilder`] and [`HoldHandler`] say how messages are delivered and acknowledged;
//!   [`DeadLetters`] is what became of those that were given up on; [`Budget`] says when an actor is paused.
//! - [`Group`] and [`Child`] describe supervised tasks and actors of a node: what feeds its actors, or is fed by them,
//!   or needs its siblings.
//! - [`Schedule`] says when a timer sends its message: later, at a fixed rate, or by a cron expression; turns set and
//!   cancel timers as part of their commit ([`Turn::schedule`]).
//! - [`Node::open`] reads the file of a node that is part of a cluster ([`NodeFile`]); [`NodeBuilder::cluster`] does
//!   without a file ([`ClusterConfig`]).
//! - [`init_logs`] sets up logs in which one message can be followed from send to commit.
//!
//! A node needs a tokio runtime with time; use the multi-threaded one.

#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as everpost;

pub(crate) mod activation;
mod actor;
mod api;
mod base;
mod cluster;
mod commit;
mod config;
mod engine;
mod link;
mod mailbox;
mod message;
mod node;
mod record;
mod shard;
mod supervise;
#[doc(hidden)]
pub mod tables;
mod telemetry;
pub(crate) mod timer;

pub use everpost_macros::{Message, State};
pub use everpost_persistence::{
    AdmissionError, CommitError, Config as StoreConfig, OpenError, ReadError, Statistics as StoreStatistics,
};

pub use crate::actor::address_of::AddressOf;
pub use crate::actor::durable::Durable;
pub use crate::actor::hold::{Hold, HoldHandler};
pub use crate::actor::turn::{Turn, TurnSendBuilder};
pub use crate::actor::{Actor, ByHold, ByTurn, Handler, Handlers, QueryHandler, Receives};
pub use crate::api::ask::Ask;
pub use crate::api::dead_letters::{DeadLetterError, DeadLetters};
pub use crate::api::handle::ActorHandle;
pub use crate::api::pause::PauseError;
pub use crate::api::query::Query;
pub use crate::api::receipt::{DeliveredError, ProcessedError, Receipt};
pub use crate::api::send_builder::SendBuilder;
pub use crate::api::timer_list::Timer;
pub use crate::api::timers::{CancelError, Timers, TriggerError};
pub use crate::base::clock::{ClockSkew, Micros};
pub use crate::base::ended::NodeEnded;
pub use crate::base::rules::backoff::Backoff;
pub use crate::config::when_full::WhenFull;
pub use crate::config::{ClusterConfig, ConfigError, IdentityFiles, LinkConfig, NodeConfig};
pub use crate::engine::holding::HoldError;
pub use crate::message::address::{ADDRESS_BYTES_MAX, Address};
pub use crate::message::ask::{AskDifference, RecordedAsk};
pub use crate::message::delivery::{Delivery, Order};
pub use crate::message::expiry::Expiry;
pub use crate::message::failure::Failure;
pub use crate::message::fingerprint::{Fingerprint, unordered};
pub use crate::message::priority::Priority;
pub use crate::message::reason::Reason;
pub use crate::message::refusal::{AskError, QueryError, Refusal, SendError};
pub use crate::message::sequence::Sequence;
pub use crate::message::unhandled::Unhandled;
pub use crate::message::{Message, MessageId, UpgradeError};
pub use crate::node::node_file::{ActorFile, LogFile, NodeFile, NodeFileError, Origin, PeerFile};
pub use crate::node::upgrade::{Stored, StoredKind, UnreadableRecord, UpgradeCounts, UpgradeReport};
pub use crate::node::{Node, NodeBuilder, NodeStatistics, ReopenError, StartError, StopError};
pub use crate::record::budget::Budget;
pub use crate::record::dead_letter::DeadLetter;
pub use crate::record::state::State;
pub use crate::record::supervised::{PauseReason, Paused};
pub use crate::supervise::group::{
    Child, ChildContext, GROUP_RESTARTS_MAX, Group, GroupEnded, Restart, SuperviseError, Supervised,
};
pub use crate::telemetry::{LogFormat, LogsError, init_logs};
pub use crate::timer::timer_ref::TimerRef;
pub use crate::timer::{Missed, Schedule, ScheduleError, TIMER_NAME_BYTES_MAX, TimerId};
