//! Who was not let in, and why.

use std::net::SocketAddr;

use quinn::ConnectionError;

use crate::close::{CloseCode, alert, words};
use crate::text::{list, printable};

/// An attempt to connect that came to nothing. Its display is one line for the log.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused a connection from {remote}: {reason}")]
pub struct Intrusion {
    /// Where it came from.
    pub remote: SocketAddr,
    /// Why it was not let in.
    pub reason: IntrusionReason,
}

/// Why somebody was not let in.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntrusionReason {
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
    /// It gave way to newer ones: it was the oldest of those that had begun from where the most had.
    #[error("it has not completed the handshake, and gave way to others: too many had begun")]
    GaveWay,
    /// It did not complete the handshake in time.
    #[error("it did not complete the handshake in time")]
    TimedOut,
    /// The handshake failed otherwise.
    #[error("the handshake failed: {0}")]
    Lost(String),
    /// This node has panicked: a defect, and no fault of whoever dialed.
    #[error("the handshake failed in an unforeseen way")]
    Defect,
}

impl IntrusionReason {
    pub(crate) fn new(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(ours) => match alert(ours.code) {
                Some(CERTIFICATE_REQUIRED) => Self::NoCertificate,
                Some(NO_APPLICATION_PROTOCOL) => Self::OtherProtocol,
                Some(_) => Self::Certificate(words(error)),
                None => Self::Lost(words(error)),
            },
            ConnectionError::ConnectionClosed(theirs) => match alert(theirs.error_code) {
                Some(_) => Self::RefusedByPeer(words(error)),
                None => Self::Lost(words(error)),
            },
            ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Refused.number() => {
                Self::RefusedByPeer(printable(&close.reason))
            }
            ConnectionError::ApplicationClosed(close) => Self::Lost(printable(&close.reason)),
            ConnectionError::TimedOut => Self::TimedOut,
            _ => Self::Lost(words(error)),
        }
    }
}

/// Alerts of TLS 1.3: RFC 8446, section 6.
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

crate::text::debug_as_text!(Intrusion, IntrusionReason);
