//! Authenticated links that carry opaque frames between nodes.
//!
//! This crate knows nothing of actors or disks. It holds the **link protocol** as a pure state machine, and a thin shell
//! that speaks it over QUIC: who may connect ([`identity`]), the bytes ([`frame`]), the socket ([`endpoint`]) and the
//! streams ([`connection`]). `docs/WIRE.md` specifies every byte.
//!
//! Nothing here is global: a process may hold several endpoints.

#![forbid(unsafe_code)]

pub mod backoff;
mod compact;
pub mod config;
pub mod connection;
pub mod endpoint;
pub mod error;
mod error_text;
pub mod frame;
pub mod hello;
pub mod identity;
pub mod link;
pub mod newcomers;
pub mod patience;

pub use self::backoff::Backoff;
pub use self::compact::compact;
pub use self::config::Settings;
pub use self::connection::{
    CloseCode, Closed, Connection, ControlReader, ControlWriter, DataReader, DataWriter, Presence, Streams,
};
pub use self::endpoint::{Endpoint, Intrusion, IntrusionReason, wrong_family};
pub use self::error::{BindError, DialError, ReadError, WriteError};
pub use self::frame::{Frame, FrameDecoder, FrameError};
pub use self::identity::{Identity, IdentityError};
pub use self::newcomers::Newcomers;
pub use self::patience::Patience;
