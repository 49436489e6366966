//! Authenticated links that carry opaque frames between nodes.
//!
//! This crate knows nothing of actors or disks. It has two halves:
//!
//! - what can be decided without a clock, a socket, a disk or a task: what the nodes say to each other, which is the
//!   **link protocol** ([`frame`], [`hello`], [`link`]), and how long and for how many a node waits ([`Backoff`],
//!   [`HandshakeTimeout`], [`Admission`]);
//! - a thin shell that speaks the protocol over QUIC: who may connect ([`Identity`]), the socket ([`Endpoint`]) and the
//!   streams ([`Connection`]).
//!
//! `docs/WIRE.md` specifies every byte. Nothing here is global: a process may hold several endpoints.
//!
//! Enums and structs that report something are `#[non_exhaustive]`: match what matters, and treat the rest as one more
//! case of its kind. Those that a caller has to handle case by case ([`frame::Frame`], [`link::Next`],
//! [`link::Arrival`]), and those that it has to fill in ([`Settings`], [`hello::Hello`], [`link::Terms`]), are
//! exhaustive: code that ignores a new case or a new field would break the protocol, and shall not compile.

#![forbid(unsafe_code)]

mod accept_error;
mod close;
mod config;
mod connection;
mod endpoint;
mod error;
mod identity;
mod policy;
mod protocol;
mod text;

pub use self::accept_error::{AcceptError, RejectionReason};
pub use self::close::{CloseCode, Closed};
pub use self::config::{STREAMS_MAX, Settings};
pub use self::connection::{
    BATCH_BYTES_MAX, BATCH_FRAMES_MAX, Connection, ControlReader, ControlWriter, DataReader, DataWriter, Liveness,
    Streams,
};
pub use self::endpoint::{Endpoint, wrong_family};
pub use self::error::{BindError, DialError, ReadError, WriteError};
pub use self::identity::{Identity, IdentityError};
pub use self::policy::{Admission, AdmissionId, Backoff, HandshakeTimeout};
pub use self::protocol::{compact, frame, hello, link};
