//! Why conversations with peers are over, and messages of theirs are not taken.

use std::net::SocketAddr;
use std::sync::Arc;

use everpost_persistence::{AdmissionError, ReadError as ReadFailed};
use everpost_transport::hello::Refusal;
use everpost_transport::link::{Break, Lane};
use everpost_transport::{Closed, ReadError, WriteError};
use jiff::Timestamp;

use crate::base::ended::NodeEnded;
use crate::message::address::Address;
use crate::message::envelope::EnvelopeError;

/// Why a conversation is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The connection is gone.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// What the peer sent cannot be read.
    #[error(transparent)]
    Read(ReadError),
    /// What the peer sent breaks the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The peer is not to be spoken with.
    #[error("the peer is refused: {0}")]
    Refused(#[from] Refusal),
    /// The two stores do not fit together.
    #[error("the peer is refused: {0}")]
    Stores(#[from] everpost_transport::link::ResumeError),
    /// Another process of the peer's name has the conversation, and shows that it is there.
    #[error(
        "another process of this name is connected from {from}, with another store, since {since:.0}; stop one of the \
         two, or give it a name and a certificate of its own"
    )]
    NameTaken {
        /// Where that one is.
        from: SocketAddr,
        /// Since when.
        since: Timestamp,
    },
    /// What arrived cannot be taken.
    #[error("the peer's messages are refused: {0}")]
    Arrival(ArrivalError),
    /// What is owed to the peer cannot be read.
    #[error("what is owed to the peer cannot be read: {0}")]
    Outbox(ReadFailed),
    /// The peer has made a newer connection.
    #[error("the peer has made a newer connection")]
    Superseded,
    /// This node does nothing more.
    #[error(transparent)]
    Node(#[from] NodeEnded),
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed(closed) => Self::Closed(closed),
            error => Self::Read(error),
        }
    }
}

impl From<WriteError> for Ended {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Closed(closed) => Self::Closed(closed),
            error => Self::Protocol(error.to_string()),
        }
    }
}

/// Why a message of a peer is not taken. It and what came after it was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ArrivalError {
    #[error("a message cannot be read: {0}")]
    Envelope(#[from] EnvelopeError),
    #[error("a message for {address} came on lane {lane}, which is not its own")]
    WrongLane { address: Address, lane: Lane },
    #[error("a message for {address} came here, but that lives on node `{owner}`")]
    NotOurs { address: Address, owner: Arc<str> },
    #[error("a message for {0} came here, but its actor type is not part of this node")]
    NotHandled(Address),
    #[error("`{0}` is no address")]
    NoAddress(String),
    #[error(transparent)]
    Break(#[from] Break),
    #[error("the store takes nothing: {0}")]
    Store(#[from] AdmissionError),
}

impl ArrivalError {
    /// Whether it is the message that is not taken, and not the peer: one of a later build, or for an actor that is not
    /// here. It stops its own lane, where whatever follows it waits; everything else of the link goes on.
    pub(crate) const fn stops_its_lane_only(&self) -> bool {
        matches!(self, Self::Envelope(_) | Self::NotOurs { .. } | Self::NotHandled(_))
    }
}
