//! Whether the peer of a connection is still alive.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::shared::Shared;

/// How often is looked whether something has come.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Tells whether the peer of a connection is still alive. Does not keep the connection open.
#[derive(Clone, Debug)]
pub struct Liveness(Weak<Shared>);

impl Liveness {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.received().is_none()
    }

    /// Waits for something that the peer sent after this call, at the latest because of either side's keep-alive. False
    /// when the connection is closed before that.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it changes nothing, and the next call waits for something newer.
    pub async fn confirm(&self) -> bool {
        // What comes within a round trip may have been sent before.
        let round_trip = self.0.upgrade().map(|inner| inner.quic.rtt()).unwrap_or_default();
        tokio::time::sleep(round_trip).await;
        let Some(before) = self.received() else { return false };
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.received() {
                None => return false,
                Some(now) if now != before => return true,
                Some(_) => {}
            }
        }
    }

    /// How many frames have come that only the peer itself can have sent, as long as the connection is open.
    fn received(&self) -> Option<u64> {
        let inner = self.0.upgrade()?;
        let frames = inner.quic.stats().frame_rx;
        // Looked at after the count: the last thing that comes may be that the connection is over.
        inner.quic.close_reason().is_none().then(|| frames.acks + frames.ping + frames.stream)
    }
}
