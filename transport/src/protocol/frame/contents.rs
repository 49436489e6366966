//! What a frame says, and how it is read from its bytes.

use bytes::{Buf, Bytes};

use super::error::FrameError;
use super::layout::{ACK_BYTES, ACKS, DATA, DATA_HEADER_BYTES, HELLO, NOTE, RESUME, VOLATILE};
use crate::protocol::compact::compact;
use crate::protocol::hello::{Hello, PROTOCOL_VERSION, Resume};
use crate::protocol::link::{Ack, Data, Lane, Sequence};

/// What travels on the streams of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of each side on the control stream.
    Hello(Hello),
    /// From where the other side is to go on in each lane; on the control stream.
    Resume(Resume),
    /// What is durable; on the control stream. At most [`ACKS_MAX`](super::ACKS_MAX).
    Acks(Vec<Ack>),
    /// Bytes that only the layer above understands, on the control stream.
    Note(Bytes),
    /// A message of a lane; on a data stream.
    Data(Data),
    /// A message of no lane, which is lost with the connection; on a data stream.
    Volatile(Bytes),
}

impl Frame {
    /// Decodes what comes after the kind. The body is copied into memory of its own: a small message that waits for
    /// long must not keep the large buffer that it arrived in.
    pub(super) fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        match kind {
            HELLO => decode_hello(body).map(Self::Hello),
            RESUME => decode_postcard(RESUME, body).map(Self::Resume),
            ACKS => decode_acks(body).map(Self::Acks),
            NOTE => Ok(Self::Note(compact(body))),
            DATA => decode_data(body).map(Self::Data),
            VOLATILE => Ok(Self::Volatile(compact(body))),
            _ => Err(FrameError::UnknownKind { kind }),
        }
    }

    /// About how many bytes the body of a message has; 0 for frames that are no messages.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        match self {
            Self::Note(body) | Self::Volatile(body) => body.len(),
            Self::Data(data) => data.body.len(),
            Self::Hello(_) | Self::Resume(_) | Self::Acks(_) => 0,
        }
    }
}

/// The version comes first, so that the hello of a version that is otherwise laid out differently is refused for its
/// version rather than for its layout.
fn decode_hello(body: &[u8]) -> Result<Hello, FrameError> {
    decode_postcard(HELLO, body).map_err(|error| match postcard::take_from_bytes::<u16>(body) {
        Ok((theirs, _)) if theirs != PROTOCOL_VERSION => FrameError::OtherVersion { ours: PROTOCOL_VERSION, theirs },
        _ => error,
    })
}

fn decode_postcard<T: serde::de::DeserializeOwned>(kind: u8, body: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => {
            Err(FrameError::Malformed { kind, what: format!("{} bytes are left over at its end", rest.len()) })
        }
        Err(postcard::Error::DeserializeUnexpectedEnd) => Err(FrameError::Truncated { kind }),
        Err(error) => Err(FrameError::Malformed { kind, what: error.to_string() }),
    }
}

fn decode_acks(mut body: &[u8]) -> Result<Vec<Ack>, FrameError> {
    if body.is_empty() || !body.len().is_multiple_of(ACK_BYTES) {
        return Err(FrameError::Truncated { kind: ACKS });
    }
    let mut acks = Vec::with_capacity(body.len() / ACK_BYTES);
    while body.has_remaining() {
        let lane = Lane { receiver_type: body.get_u64(), partition: body.get_u16() };
        acks.push(Ack { lane, through: Sequence(body.get_u64()), credit: body.get_u64() });
    }
    Ok(acks)
}

fn decode_data(mut body: &[u8]) -> Result<Data, FrameError> {
    if body.len() < DATA_HEADER_BYTES {
        return Err(FrameError::Truncated { kind: DATA });
    }
    Ok(Data {
        lane: Lane { receiver_type: body.get_u64(), partition: body.get_u16() },
        previous: Sequence(body.get_u64()),
        sequence: Sequence(body.get_u64()),
        flags: body.get_u8(),
        body: compact(body),
    })
}
