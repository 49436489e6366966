//! What can go wrong, an enum for each operation.

use std::net::SocketAddr;
use std::time::Duration;

use crate::close::Closed;
use crate::protocol::frame::FrameError;

/// An endpoint could not be bound. Nothing was left behind.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A setting contradicts another one, or what is possible.
    #[error("the setting `{field}` {problem}")]
    Setting {
        /// The field of [`crate::Settings`].
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A peer's name cannot stand in a certificate.
    #[error("the peer name `{name}` is not a DNS name: use letters, digits and inner hyphens")]
    PeerName {
        /// The name.
        name: String,
    },
    /// Somebody else listens there.
    #[error(
        "the UDP port of {address} is in use: another node or program listens there; stop it or choose another port"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The process may not listen there.
    #[error("no permission to listen on {address}: choose a port above 1023, or run with the permission to use it")]
    NoPermission {
        /// The address.
        address: SocketAddr,
    },
    /// This machine does not have the address.
    #[error("{address} is not an address of this machine")]
    NotHere {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else that the system says.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The TLS settings were refused.
    #[error("the certificates cannot be used: {why}")]
    Tls {
        /// Why.
        why: String,
    },
}

/// No connection was made.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The peer is not one of those that the endpoint was bound with.
    #[error("`{peer}` is not a configured peer")]
    NotConfigured {
        /// The name that was dialed.
        peer: String,
    },
    /// The address cannot be reached from this endpoint.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// Nobody answered, or not in time.
    #[error("{address} {} within {within:?}", if *answered { ANSWERED_LATE } else { "did not answer" })]
    TimedOut {
        /// The address.
        address: SocketAddr,
        /// The timeout.
        within: Duration,
        /// Whether anything came back: then the path is slow, or loses packets.
        answered: bool,
    },
    /// This side refused the other one: its certificate is not that of the peer, not ours to trust, expired, and so on.
    #[error("refused the node at {address}: {why}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// The other side refused this one.
    #[error("the node at {address} refused this node: {why}")]
    RefusedByPeer {
        /// The address.
        address: SocketAddr,
        /// Why, as it says.
        why: String,
    },
    /// The connection ended during the handshake for another reason.
    #[error("the handshake with {address} failed: {why}")]
    Lost {
        /// The address.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// This endpoint is closed.
    #[error("this endpoint is closed")]
    Stopping,
}

/// Nothing more can be read from a peer.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The peer sent what no peer may send. Close with [`crate::CloseCode::Protocol`].
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer ended a stream. All live as long as the connection: close with [`crate::CloseCode::Protocol`].
    #[error("a stream was ended by the peer, and only the connection may end")]
    StreamEnded,
}

impl ReadError {
    /// Whether the peer broke the protocol, so that the connection is still open and should be closed with
    /// [`crate::CloseCode::Protocol`].
    #[must_use]
    pub const fn is_breach(&self) -> bool {
        !matches!(self, Self::Closed(_))
    }
}

/// Nothing more can be written to a peer. What was written before may or may not have arrived.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The connection is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The peer stopped reading a stream. All live as long as the connection: close with
    /// [`crate::CloseCode::Protocol`].
    #[error("the peer stopped reading a stream, and only the connection may end")]
    Stopped,
}

const ANSWERED_LATE: &str = "answered too late, over a path that is slow or loses packets: no handshake was complete";

crate::text::debug_as_text!(BindError, DialError, ReadError, WriteError);
