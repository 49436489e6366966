//! Links: one conversation with each other node. Each link is a ractor actor under one supervisor; it dials, or waits to be
//! dialed, speaks the link protocol, and starts over when the connection breaks. What is owed and how far each side has
//! come lives in [`crate::cluster`] and in the store, so a link that dies loses nothing.

mod answers;
mod arrivals;
mod arriving;
mod control;
mod conversation;
mod departures;
mod desk;
mod dialing;
mod door;
pub(crate) mod flags;
mod introduction;
mod life;
mod note;
mod renewal;
mod resumption;
mod seat;
mod supervision;
mod troubles;

use std::net::SocketAddr;
use std::sync::Arc;

use everpost_persistence::ReadError as ReadFailed;
use everpost_transport::{Closed, Endpoint, ReadError, WriteError, hello::Refusal};
use jiff::Timestamp;

pub(crate) use self::door::{Contest, Process};
pub(crate) use self::introduction::Introduced;
pub(crate) use self::note::{Fate, NoAnswer, Note};
pub(crate) use self::renewal::renew;
pub(crate) use self::seat::{Holder, Seat};
pub(crate) use self::supervision::{LinkOrder, NAME as SUPERVISOR_NAME, supervise};
pub(crate) use self::troubles::Troubles;
use crate::config::LinkConfig;
use crate::core::Core;
use crate::gate::NodeEnded;
use crate::link::arriving::ArrivalError;

/// What all links of a node share.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) core: Arc<Core>,
    pub(crate) endpoint: Endpoint,
    pub(crate) config: LinkConfig,
}

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
        "another process of this name is connected from {from}, with another store, since {since:.0}; stop one of the two, or give it a name and a certificate of its own"
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
