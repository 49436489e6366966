//! Writes frames that were encoded before, many at a time.

use bytes::{Bytes, BytesMut};
use quinn::SendStream;

use super::shared::Guard;
use crate::error::WriteError;

/// Writes to the control stream.
#[derive(Debug)]
pub struct ControlWriter {
    guard: Guard,
    stream: Outbound,
}

/// Writes to the data streams of this side, which are opened as they are first used.
#[derive(Debug)]
pub struct DataWriter {
    guard: Guard,
    streams: Vec<Option<Outbound>>,
}

impl ControlWriter {
    pub(super) fn new(guard: Guard, stream: SendStream) -> Self {
        // What is written here, acknowledgements above all, lets the peer go on, so it overtakes messages.
        if stream.set_priority(1).is_err() {
            tracing::trace!("the connection was closed before its first frame");
        }
        Self { guard, stream: Outbound::new(stream) }
    }

    /// Hands all of `buffer` to QUIC and empties it. Waits while too much is unacknowledged.
    ///
    /// # Errors
    ///
    /// [`WriteError`]: nothing more can be written.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was not handed over is kept, and goes first at the next write.
    pub async fn write(&mut self, buffer: &mut BytesMut) -> Result<(), WriteError> {
        self.stream.write(&self.guard, buffer).await
    }
}

impl DataWriter {
    pub(super) fn new(guard: Guard) -> Self {
        let streams = (0..guard.0.streams).map(|_| None).collect();
        Self { guard, streams }
    }

    /// How many streams there are to choose from.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Hands all of `buffer` to QUIC, for the stream `stream` modulo [`Self::streams`], and empties it. Waits while too
    /// much is unacknowledged.
    ///
    /// # Errors
    ///
    /// [`WriteError`]: nothing more can be written.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was not handed over is kept, and goes first at the next write to the same stream.
    pub async fn write(&mut self, stream: usize, buffer: &mut BytesMut) -> Result<(), WriteError> {
        let index = stream % self.streams.len();
        let place = &mut self.streams[index];
        if place.is_none() {
            let opened = self.guard.0.quic.open_uni().await;
            *place = Some(Outbound::new(opened.map_err(|error| self.guard.0.explain(&error))?));
        }
        let stream = place.as_mut().expect("opened just now if it was not");
        stream.write(&self.guard, buffer).await
    }
}

/// A stream of this side.
#[derive(Debug)]
struct Outbound {
    stream: SendStream,
    /// What a cancelled write has left: it may begin in the middle of a frame, so it has to be written first.
    rest: [Bytes; 1],
}

impl Outbound {
    fn new(stream: SendStream) -> Self {
        Self { stream, rest: [Bytes::new()] }
    }

    async fn write(&mut self, guard: &Guard, buffer: &mut BytesMut) -> Result<(), WriteError> {
        self.flush(guard).await?;
        if !buffer.is_empty() {
            self.rest = [buffer.split().freeze()];
            self.flush(guard).await?;
        }
        Ok(())
    }

    /// QUIC takes from the front of `rest` what it has room for, without copying; what is left stays if this is
    /// cancelled.
    async fn flush(&mut self, guard: &Guard) -> Result<(), WriteError> {
        if self.rest[0].is_empty() {
            return Ok(());
        }
        self.stream.write_all_chunks(&mut self.rest).await.map_err(|error| match error {
            quinn::WriteError::ConnectionLost(error) => WriteError::Closed(guard.0.explain(&error)),
            // The only other errors are those of streams that this side ended, which it never does, and of early data,
            // which it never sends.
            _ => WriteError::Stopped,
        })
    }
}
