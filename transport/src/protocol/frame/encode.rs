//! From frames to bytes.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::contents::Frame;
use super::error::FrameError;
use super::layout::{
    ACK_BYTES, ACKS, ACKS_MAX, DATA, DATA_HEADER_BYTES, HELLO, HELLO_BYTES_MAX, NOTE, RESUME, RESUME_BYTES_MAX,
    VOLATILE,
};
use crate::protocol::link::{Ack, Data};

impl Frame {
    /// Appends the bytes of the frame. More than [`ACKS_MAX`] acknowledgements become several frames, none become none.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] for a hello or resume above its limit; nothing was appended then. Whether a message is
    /// too large is for the layer above to know: the limit is that of the receiver.
    pub fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameError> {
        match self {
            Self::Hello(hello) => return encode_postcard(buffer, HELLO, hello, HELLO_BYTES_MAX),
            Self::Resume(resume) => return encode_postcard(buffer, RESUME, resume, RESUME_BYTES_MAX),
            Self::Acks(acks) => encode_acks(buffer, acks),
            Self::Note(body) => encode_note(buffer, body),
            Self::Data(data) => encode_data(buffer, data),
            Self::Volatile(body) => encode_volatile(buffer, body),
        }
        Ok(())
    }
}

/// Appends acknowledgements: as many frames as they need.
pub fn encode_acks(buffer: &mut BytesMut, acks: &[Ack]) {
    for some in acks.chunks(ACKS_MAX) {
        start(buffer, ACKS, some.len() * ACK_BYTES);
        for ack in some {
            buffer.put_u64(ack.lane.receiver_type);
            buffer.put_u16(ack.lane.partition);
            buffer.put_u64(ack.through.0);
            buffer.put_u64(ack.credit);
        }
    }
}

/// Appends a message of a lane, without the need for a [`Frame`].
pub fn encode_data(buffer: &mut BytesMut, data: &Data) {
    start(buffer, DATA, DATA_HEADER_BYTES + data.body.len());
    buffer.put_u64(data.lane.receiver_type);
    buffer.put_u16(data.lane.partition);
    buffer.put_u64(data.previous.0);
    buffer.put_u64(data.sequence.0);
    buffer.put_u8(data.flags);
    buffer.put_slice(&data.body);
}

/// Appends a note for the control stream.
pub fn encode_note(buffer: &mut BytesMut, body: &[u8]) {
    start(buffer, NOTE, body.len());
    buffer.put_slice(body);
}

/// Appends a message of no lane.
pub fn encode_volatile(buffer: &mut BytesMut, body: &[u8]) {
    start(buffer, VOLATILE, body.len());
    buffer.put_slice(body);
}

fn encode_postcard(
    buffer: &mut BytesMut,
    kind: u8,
    value: &impl Serialize,
    bytes_max: usize,
) -> Result<(), FrameError> {
    let body = postcard::to_stdvec(value).map_err(|error| FrameError::Malformed { kind, what: error.to_string() })?;
    if body.len() > bytes_max {
        return Err(FrameError::TooLarge { bytes: body.len() as u64, bytes_max: bytes_max as u64 });
    }
    start(buffer, kind, body.len());
    buffer.put_slice(&body);
    Ok(())
}

/// Appends length and kind, and makes room for the body.
fn start(buffer: &mut BytesMut, kind: u8, body_bytes: usize) {
    let length = u32::try_from(body_bytes + 1).expect("settings bound messages far below 4 GiB");
    buffer.reserve(4 + 1 + body_bytes);
    buffer.put_u32(length);
    buffer.put_u8(kind);
}
