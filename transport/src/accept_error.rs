//! Why a connection from outside was not accepted.

use std::net::SocketAddr;

use quinn::ConnectionError;

use crate::close::{CloseCode, alert, describe};
use crate::text::{list, printable};

/// A connection from outside that was not accepted. Its display is one line for the log.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("refused a connection from {remote}: {reason}")]
pub struct AcceptError {
    /// Where it came from.
    pub remote: SocketAddr,
    /// Why it was not accepted.
    pub reason: RejectionReason,
}

/// Why a connection was not accepted.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectionReason {
    /// It has no certificate.
    #[error("it has no certificate")]
    NoCertificate,
    /// Its certificate was not accepted: another authority, expired, not valid yet, damaged.
    #[error("{0}")]
    Certificate(String),
    /// The authority of the cluster signed its certificate, but for none of the peers.
    #[error("its certificate is for {}, which is not a configured peer", list(names))]
    NotConfigured {
        /// The names in the certificate.
        names: Vec<String>,
    },
    /// Its certificate fits several peers, so that it does not say who it is.
    #[error("its certificate is for several peers at once: {}; give each node a certificate of its own", list(peers))]
    Ambiguous {
        /// The peers.
        peers: Vec<String>,
    },
    /// It does not speak this protocol.
    #[error("it does not speak {}", String::from_utf8_lossy(crate::config::PROTOCOL))]
    OtherProtocol,
    /// It did not accept the certificate of this node.
    #[error("it refused the certificate of this node: {0}")]
    RefusedByPeer(String),
    /// Too many handshakes were in progress, and this was the oldest one of the address that had the most.
    #[error("it has not completed the handshake, and gave way to others: too many had begun")]
    Evicted,
    /// It did not complete the handshake in time.
    #[error("it did not complete the handshake in time")]
    TimedOut,
    /// The handshake failed otherwise.
    #[error("the handshake failed: {0}")]
    Lost(String),
    /// The handshake has panicked here: a defect of this node, and no fault of whoever dialed.
    #[error("the handshake failed in an unforeseen way")]
    Panicked,
}

impl RejectionReason {
    pub(crate) fn new(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(ours) => match alert(ours.code) {
                Some(CERTIFICATE_REQUIRED) => Self::NoCertificate,
                Some(NO_APPLICATION_PROTOCOL) => Self::OtherProtocol,
                Some(_) => Self::Certificate(describe(error)),
                None => Self::Lost(describe(error)),
            },
            ConnectionError::ConnectionClosed(theirs) => match alert(theirs.error_code) {
                Some(_) => Self::RefusedByPeer(describe(error)),
                None => Self::Lost(describe(error)),
            },
            ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Refused.number() => {
                Self::RefusedByPeer(printable(&close.reason))
            }
            ConnectionError::ApplicationClosed(close) => Self::Lost(printable(&close.reason)),
            ConnectionError::TimedOut => Self::TimedOut,
            _ => Self::Lost(describe(error)),
        }
    }
}

/// Alerts of TLS 1.3: RFC 8446, section 6.
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

crate::text::debug_as_text!(AcceptError, RejectionReason);
