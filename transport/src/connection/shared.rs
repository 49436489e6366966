//! What a connection and its streams share.

use std::sync::{Arc, Mutex, OnceLock};

use quinn::{RecvStream, SendStream};

use crate::close::{CloseCode, Closed};
use crate::protocol::frame::Limits;

/// The connection itself, closed when nobody uses it any more.
#[derive(Debug)]
pub(super) struct Shared {
    /// The control stream until it is taken.
    pub(super) control: Mutex<Option<(SendStream, RecvStream)>>,
    /// What this side closed it with, which QUIC does not remember.
    pub(super) closing: OnceLock<(CloseCode, String)>,
    /// How many data streams this side opens.
    pub(super) streams: u8,
    pub(super) limits: Limits,
    pub(super) peer: String,
    pub(super) dialed: bool,
    pub(super) quic: quinn::Connection,
}

impl Shared {
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        // Closing twice would replace the first reason.
        if self.quic.close_reason().is_none() && self.closing.set((code, reason.to_owned())).is_ok() {
            self.quic.close(code.number(), reason.as_bytes());
        }
    }

    pub(super) fn explain(&self, error: &quinn::ConnectionError) -> Closed {
        Closed::new(error, self.closing.get())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // This has to come before the control stream is dropped: its end alone would look like a breach of the
        // protocol.
        self.close(CloseCode::Abandoned, ABANDONED);
    }
}

/// Closes the connection before a stream of it is dropped: a stream that ends alone is a breach of the protocol.
#[derive(Debug)]
pub(super) struct Guard(pub(super) Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close(CloseCode::Abandoned, ABANDONED);
    }
}

const ABANDONED: &str = "the link of this connection ended";
