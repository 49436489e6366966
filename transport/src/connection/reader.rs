//! Reads frames, as many at a time as have arrived.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::RecvStream;

use super::shared::Guard;
use crate::config::receive_window;
use crate::error::ReadError;
use crate::policy::large_frame::LargeFrame;
use crate::protocol::frame::{Frame, FrameDecoder, Limits, StreamKind};

/// Reads from the control stream.
#[derive(Debug)]
pub struct ControlReader {
    guard: Guard,
    stream: Inbound,
}

/// Reads from all data streams of the peer.
#[derive(Debug)]
pub struct DataReader {
    guard: Guard,
    streams: Vec<Inbound>,
    /// Where the next round begins, so that no stream is always read first.
    first: usize,
    large: LargeFrame,
}

impl ControlReader {
    pub(super) fn new(guard: Guard, stream: RecvStream) -> Self {
        let limits = guard.0.limits;
        Self { guard, stream: Inbound::new(stream, StreamKind::Control, limits) }
    }

    /// Waits for at least one whole frame, and appends all that have arrived, up to [`BATCH_FRAMES_MAX`] and
    /// [`BATCH_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`ReadError`]: nothing more can be read. What arrived whole before was handed out first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what has arrived and was not appended is kept.
    pub async fn next(&mut self, frames: &mut Vec<Frame>) -> Result<(), ReadError> {
        let Self { guard, stream } = self;
        poll_fn(|cx| {
            let mut batch = Batch::new(frames);
            let outcome = loop {
                match stream.poll(cx, guard, &mut batch, |_| true) {
                    Poll::Ready(Ok(())) if batch.has_room() => {}
                    Poll::Ready(Ok(())) => break None,
                    Poll::Ready(Err(error)) => break Some(error),
                    Poll::Pending => break None,
                }
            };
            batch.outcome(outcome)
        })
        .await
    }
}

impl DataReader {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, streams: Vec::new(), first: 0, large: LargeFrame::default() }
    }

    /// Waits for at least one whole frame on any stream, and appends all that have arrived, up to [`BATCH_FRAMES_MAX`]
    /// and    /// [`BATCH_BYTES_MAX`]. Those of one stream are in order; the streams take turns. Of frames that have
    /// not ended, one at a time may be large: other streams wait unread while they hold more than 64 KiB of theirs.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: nothing more can be read. What arrived whole before was handed out first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what has arrived and was not appended is kept.
    pub async fn next(&mut self, frames: &mut Vec<Frame>) -> Result<(), ReadError> {
        let Self { guard, streams, first, large } = self;
        let quic = guard.0.quic.clone();
        let mut accept = pin!(quic.accept_uni());
        poll_fn(|cx| {
            let mut batch = Batch::new(frames);
            let mut outcome = None;
            while let Poll::Ready(accepted) = accept.as_mut().poll(cx) {
                accept.set(quic.accept_uni());
                match accepted {
                    // QUIC bounds how many streams there are at a time, and none may end, so this cannot grow without
                    // end.
                    Ok(stream) => {
                        streams.push(Inbound::new(stream, StreamKind::Data, guard.0.limits));
                        if streams.len() > usize::from(guard.0.streams) {
                            // The peer opens more streams than this side expected. Each needs room of its own, or those
                            // that wait unread could leave none to the one that they wait for.
                            quic.set_receive_window(receive_window(streams.len()));
                        }
                    }
                    Err(error) => {
                        outcome = Some(ReadError::Closed(guard.0.explain(&error)));
                        break;
                    }
                }
            }
            if let Err(error) = round(cx, guard, streams, first, large, &mut batch) {
                outcome = Some(error);
            }
            batch.outcome(outcome)
        })
        .await
    }
}

/// How many frames are handed out at a time, at most: what one transaction may hold.
pub const BATCH_FRAMES_MAX: usize = 1_024;

/// How many bytes of messages are handed out at a time, at most; the last message may go beyond.
pub const BATCH_BYTES_MAX: usize = 512 << 10;

/// Reads from each stream in turn, until none has anything or the batch is full.
fn round(
    cx: &mut Context<'_>,
    guard: &Guard,
    streams: &mut [Inbound],
    first: &mut usize,
    large: &mut LargeFrame,
    batch: &mut Batch<'_>,
) -> Result<(), ReadError> {
    let mut idle = 0;
    while idle < streams.len() && batch.has_room() {
        *first = (*first + 1) % streams.len();
        let stream = &mut streams[*first];
        match stream.poll(cx, guard, batch, |held| large.may_read(*first, held)) {
            Poll::Ready(Ok(())) => idle = 0,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => idle += 1,
        }
        // A stream that had to wait for this one has its turn in the same round.
        large.holds(*first, stream.decoder.held_bytes());
    }
    Ok(())
}

/// What one call hands out.
struct Batch<'a> {
    frames: &'a mut Vec<Frame>,
    before: usize,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(frames: &'a mut Vec<Frame>) -> Self {
        let before = frames.len();
        Self { frames, before, bytes: 0 }
    }

    fn has_room(&self) -> bool {
        self.frames.len() - self.before < BATCH_FRAMES_MAX && self.bytes < BATCH_BYTES_MAX
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.message_bytes();
        self.frames.push(frame);
    }

    /// Frames go first: the next call meets the error again.
    fn outcome(self, error: Option<ReadError>) -> Poll<Result<(), ReadError>> {
        if self.frames.len() > self.before {
            return Poll::Ready(Ok(()));
        }
        error.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }
}

/// A stream of the peer.
#[derive(Debug)]
struct Inbound {
    stream: RecvStream,
    decoder: FrameDecoder,
}

impl Inbound {
    fn new(stream: RecvStream, kind: StreamKind, limits: Limits) -> Self {
        Self { stream, decoder: FrameDecoder::new(kind, limits) }
    }

    /// Decodes what was read before, or else reads once, if `may_read` allows it for the bytes that are held. Pending
    /// means that nothing has arrived, or that the stream has to wait.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        guard: &Guard,
        batch: &mut Batch<'_>,
        may_read: impl FnOnce(usize) -> bool,
    ) -> Poll<Result<(), ReadError>> {
        if !self.decode(batch)? {
            if !may_read(self.decoder.held_bytes()) {
                return Poll::Pending;
            }
            ready!(self.poll_read(cx, guard))?;
            self.decode(batch)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether there was a frame.
    fn decode(&mut self, batch: &mut Batch<'_>) -> Result<bool, ReadError> {
        let before = batch.frames.len();
        while batch.has_room() {
            match self.decoder.next_frame()? {
                Some(frame) => batch.push(frame),
                None => break,
            }
        }
        Ok(batch.frames.len() > before)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, guard: &Guard) -> Poll<Result<(), ReadError>> {
        let mut chunks = [const { Bytes::new() }; CHUNKS_MAX];
        // Polled once and dropped: a read that was not ready has taken nothing, and the stream keeps the waker.
        let read = pin!(self.stream.read_chunks(&mut chunks)).poll(cx);
        match ready!(read) {
            Ok(Some(count)) => {
                for chunk in &mut chunks[..count] {
                    self.decoder.feed(std::mem::take(chunk));
                }
                Poll::Ready(Ok(()))
            }
            Ok(None) | Err(quinn::ReadError::Reset(_)) => Poll::Ready(Err(ReadError::StreamEnded)),
            Err(quinn::ReadError::ConnectionLost(error)) => {
                Poll::Ready(Err(ReadError::Closed(guard.0.explain(&error))))
            }
            // The others are of streams that this side stopped, unordered reads and early data, none of which there is.
            Err(_) => Poll::Ready(Err(ReadError::StreamEnded)),
        }
    }
}

/// How many pieces are read at once; each is at most a packet.
const CHUNKS_MAX: usize = 32;
