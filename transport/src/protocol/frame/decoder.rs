//! From bytes to frames, as they come.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::contents::Frame;
use super::error::FrameError;
use super::layout::{Limits, StreamKind};

/// Turns the bytes of one stream into frames. What is [fed](Self::feed) may be cut anywhere. It holds what was fed and
/// not yet taken, and never more than twice that: a length that a peer claims allocates nothing.
#[derive(Debug)]
pub struct FrameDecoder {
    stream: StreamKind,
    limits: Limits,
    /// What was fed and not looked at.
    chunks: VecDeque<Bytes>,
    /// The beginning of a frame whose end was not in the same chunk. Only such frames are put together here; whole ones
    /// are decoded where they lie.
    partial: BytesMut,
}

impl FrameDecoder {
    /// A decoder for a stream that has just begun.
    #[must_use]
    pub fn new(stream: StreamKind, limits: Limits) -> Self {
        Self { stream, limits, chunks: VecDeque::new(), partial: BytesMut::new() }
    }

    /// Hands in the bytes that come next.
    pub fn feed(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Takes the next frame, if all of it was fed.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; the same one again when asked again, since what follows bytes that are no frame means nothing.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if self.partial.is_empty() {
                let Some(front) = self.chunks.front_mut() else { return Ok(None) };
                let needed = bytes_needed(front, self.stream, self.limits)?;
                if front.len() >= needed {
                    let frame = decode(&front[..needed])?;
                    front.advance(needed);
                    self.drop_empty_front();
                    return Ok(Some(frame));
                }
                self.gather(usize::MAX);
            } else {
                let needed = bytes_needed(&self.partial, self.stream, self.limits)?;
                if self.partial.len() >= needed {
                    return self.take_partial().map(Some);
                }
                if self.chunks.is_empty() {
                    return Ok(None);
                }
                self.gather(needed - self.partial.len());
            }
        }
    }

    /// Whether nothing is left of what was fed: the stream may end here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.partial.is_empty()
    }

    /// How many bytes it holds that were fed and not taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    /// Moves at most that many bytes of the first chunk to the beginning of a frame.
    fn gather(&mut self, bytes_max: usize) {
        let Some(front) = self.chunks.front_mut() else { return };
        let part = front.split_to(bytes_max.min(front.len()));
        self.partial.extend_from_slice(&part);
        self.drop_empty_front();
    }

    fn drop_empty_front(&mut self) {
        if self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
    }

    /// Decodes the frame that was put together; there is never more than one.
    fn take_partial(&mut self) -> Result<Frame, FrameError> {
        let frame = decode(&self.partial)?;
        if self.partial.capacity() > PARTIAL_BYTES_KEPT {
            self.partial = BytesMut::new();
        } else {
            self.partial.clear();
        }
        Ok(frame)
    }
}

/// How many bytes the frame that begins here takes, as far as its first bytes tell.
fn bytes_needed(bytes: &[u8], stream: StreamKind, limits: Limits) -> Result<usize, FrameError> {
    let [a, b, c, d, rest @ ..] = bytes else { return Ok(HEADER_BYTES) };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    if length == 0 {
        return Err(FrameError::Truncated { kind: 0 });
    }
    let Some(&kind) = rest.first() else { return Ok(HEADER_BYTES) };
    let Some(body_bytes_max) = limits.body_bytes_max(kind) else { return Err(FrameError::UnknownKind { kind }) };
    if !stream.has(kind) {
        return Err(FrameError::WrongStream { kind, stream });
    }
    let bytes = length as usize - 1;
    if bytes > body_bytes_max {
        return Err(FrameError::TooLarge { bytes: bytes as u64, bytes_max: body_bytes_max as u64 });
    }
    Ok(HEADER_BYTES + bytes)
}

fn decode(frame: &[u8]) -> Result<Frame, FrameError> {
    debug_assert!(frame.len() >= HEADER_BYTES, "bytes_needed never says less");
    Frame::decode(frame[HEADER_BYTES - 1], &frame[HEADER_BYTES..])
}

/// Length and kind.
const HEADER_BYTES: usize = 4 + 1;

/// A buffer that grew beyond this for one large frame is given back.
const PARTIAL_BYTES_KEPT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::encode_volatile;

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut decoder = FrameDecoder::new(StreamKind::Data, Limits::new(1 << 30));
        decoder.feed(Bytes::from_static(&[0x3f, 0xff, 0xff, 0xff, 16, 1, 2, 3]));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.partial.capacity() < 1_000, "{}", decoder.partial.capacity());
    }

    #[test]
    fn the_memory_of_a_large_frame_is_given_back() {
        let mut decoder = FrameDecoder::new(StreamKind::Data, Limits::new(1 << 20));
        let mut bytes = BytesMut::new();
        encode_volatile(&mut bytes, &[7; 1 << 20]);
        let bytes = bytes.freeze();
        decoder.feed(bytes.slice(..10));
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.feed(bytes.slice(10..));
        assert_eq!(decoder.next_frame(), Ok(Some(Frame::Volatile(bytes.slice(5..)))));
        assert_eq!(decoder.partial.capacity(), 0);
    }
}
