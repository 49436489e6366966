//! Whether the peer of a connection is still there.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::shared::Shared;

/// How often is looked whether something has come.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The peer of a connection that somebody else uses. Does not keep it open.
#[derive(Clone, Debug)]
pub struct Presence(Weak<Shared>);

impl Presence {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.heard().is_none()
    }

    /// Waits until the peer has shown by something that it sent after this call that it is there, which either side's keep-alive
    /// brings about; false when the connection is over before that.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn is_shown(&self) -> bool {
        // What comes within a round trip may have been sent before.
        let round_trip = self.0.upgrade().map(|inner| inner.quic.rtt()).unwrap_or_default();
        tokio::time::sleep(round_trip).await;
        let Some(before) = self.heard() else { return false };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.heard() {
                None => return false,
                Some(now) if now != before => return true,
                Some(_) => {}
            }
        }
    }

    /// How much has come of what only the peer itself can have sent, as long as the connection is open.
    fn heard(&self) -> Option<u64> {
        let inner = self.0.upgrade()?;
        let frames = inner.quic.stats().frame_rx;
        // Looked at after the count: the last thing that comes may be that the connection is over.
        inner.quic.close_reason().is_none().then(|| frames.acks + frames.ping + frames.stream)
    }
}
