//! Why a connection is over.

use std::fmt;

use quinn::{ConnectionError, VarInt};

use crate::text::printable;

/// What a side says when it closes a connection. The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// 0: the node is stopping. Dial again later.
    Stopping,
    /// 1: the peer does not fit: its certificate, cluster, version or store. Somebody has to change that.
    Refused,
    /// 2: the peer broke the protocol.
    Protocol,
    /// 3: a newer connection between the two nodes takes the place of this one.
    Superseded,
    /// 4: the part of the node that used the connection has failed. Dial again.
    Abandoned,
    /// Any other number: a later version has a reason that this one does not know. Dial again, with backoff.
    Other(u64),
}

impl CloseCode {
    /// The number on the wire.
    pub(crate) fn number(self) -> VarInt {
        match self {
            Self::Stopping => VarInt::from_u32(0),
            Self::Refused => VarInt::from_u32(1),
            Self::Protocol => VarInt::from_u32(2),
            Self::Superseded => VarInt::from_u32(3),
            Self::Abandoned => VarInt::from_u32(4),
            Self::Other(number) => VarInt::from_u64(number).unwrap_or(VarInt::MAX),
        }
    }

    fn from_number(number: VarInt) -> Self {
        match number.into_inner() {
            0 => Self::Stopping,
            1 => Self::Refused,
            2 => Self::Protocol,
            3 => Self::Superseded,
            4 => Self::Abandoned,
            number => Self::Other(number),
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("stopping"),
            Self::Refused => f.write_str("refused"),
            Self::Protocol => f.write_str("breach of the protocol"),
            Self::Superseded => f.write_str("superseded"),
            Self::Abandoned => f.write_str("abandoned"),
            Self::Other(number) => write!(f, "code {number}"),
        }
    }
}

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// This side closed it.
    #[error("closed by this node: {code}: {reason}")]
    Here {
        /// With which code.
        code: CloseCode,
        /// And why.
        reason: String,
    },
    /// The peer closed it.
    #[error("closed by the peer: {code}: {reason}")]
    ByPeer {
        /// With which code.
        code: CloseCode,
        /// And why, as it says, made fit to print.
        reason: String,
    },
    /// The peer does not know the connection: its process was restarted.
    #[error("the peer was restarted")]
    Restarted,
    /// Nothing came from the peer for the idle timeout.
    #[error("nothing came from the peer for the idle timeout")]
    TimedOut,
    /// The QUIC of either side found the other's at fault.
    #[error("{}: {what}", if *by_peer { "the peer's QUIC closed it" } else { "QUIC closed it" })]
    Transport {
        /// Whether the peer did.
        by_peer: bool,
        /// What was wrong.
        what: String,
    },
}

impl Closed {
    /// `here` is what this side closed it with.
    pub(crate) fn new(error: &ConnectionError, here: Option<&(CloseCode, String)>) -> Self {
        match error {
            ConnectionError::LocallyClosed => {
                // Without a reason, it was the whole endpoint that was closed.
                let (code, reason) = here.cloned().unwrap_or_else(|| (CloseCode::Stopping, STOPPING.to_owned()));
                Self::Here { code, reason }
            }
            ConnectionError::ApplicationClosed(close) => {
                Self::ByPeer { code: CloseCode::from_number(close.error_code), reason: printable(&close.reason) }
            }
            ConnectionError::Reset => Self::Restarted,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::ConnectionClosed(_) => Self::Transport { by_peer: true, what: describe(error) },
            _ => Self::Transport { by_peer: false, what: describe(error) },
        }
    }
}

/// What an endpoint tells all peers when it is closed.
pub(crate) const STOPPING: &str = "the node is stopping";

/// The text of a QUIC error, of either side.
pub(crate) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(ours) if alert(ours.code).is_some() => explained(ours.reason.clone()),
        ConnectionError::ConnectionClosed(theirs)
            if alert(theirs.error_code).is_some() && !theirs.reason.is_empty() =>
        {
            explained(printable(&theirs.reason))
        }
        ConnectionError::ConnectionClosed(theirs) => printable(theirs.to_string().as_bytes()),
        other => other.to_string(),
    }
}

/// The TLS alert in a QUIC error code, if it is one.
pub(crate) fn alert(code: quinn::TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    // RFC 9001, section 4.8.
    (0x100..0x200).contains(&code).then_some((code & 0xff) as u8)
}

/// What TLS says of a certificate, with an explanation where that is only a name.
fn explained(text: String) -> String {
    // The second, if an authority of the same name signed it.
    if text.ends_with("UnknownIssuer") || text.ends_with("BadSignature") {
        return format!("{text}: the authority of the cluster did not sign it");
    }
    text
}

crate::text::debug_as_text!(Closed);
