//! Frames: what travels on the streams of a connection, and its bytes.
//!
//! A frame is `length: u32 || kind: u8 || body`; the length counts what comes after it. Integers are big-endian. Decoding
//! never panics, and takes memory in proportion to the bytes that have arrived, whatever lengths they claim.

mod decoder;
mod encode;

use bytes::{Buf, Bytes};

pub use self::decoder::FrameDecoder;
pub use self::encode::{encode_acks, encode_data, encode_note, encode_volatile};
use crate::compact::compact;
use crate::hello::{Hello, PROTOCOL_VERSION, Resume};
use crate::link::{Ack, Data, Lane, Sequence};

/// What travels on the streams of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of each side on the control stream.
    Hello(Hello),
    /// Where the other side is to go on; on the control stream.
    Resume(Resume),
    /// What is durable; on the control stream. At most [`ACKS_MAX`].
    Acks(Vec<Ack>),
    /// Bytes that this crate gives no meaning, on the control stream.
    Note(Bytes),
    /// A message with a place in a lane; on a data stream.
    Data(Data),
    /// Bytes without a place in any lane, lost with the connection; on a data stream.
    Volatile(Bytes),
}

/// The two kinds of streams, each with its kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The one stream in both directions.
    Control,
    /// Any of the streams in one direction.
    Data,
}

/// How large frames may be, in bytes after the length.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    message_bytes_max: usize,
}

/// The bytes of a peer are not frames of this protocol, or a frame cannot be sent. In the first case nothing can be read
/// from the stream any more.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame is larger than its kind may be. Nothing was allocated for it.
    #[error("a frame of {bytes} bytes, where at most {bytes_max} are allowed")]
    TooLarge {
        /// What the frame takes, or claims to.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A kind that this version of the protocol does not have.
    #[error("a frame of the unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A kind that has no place on this kind of stream.
    #[error("a frame of kind {kind} on a {} stream", match stream { StreamKind::Control => "control", StreamKind::Data => "data" })]
    WrongStream {
        /// The kind.
        kind: u8,
        /// Where it came.
        stream: StreamKind,
    },
    /// A frame is shorter than its kind needs.
    #[error("a frame of kind {kind} that is cut short")]
    Truncated {
        /// The kind; 0 if it is cut off too.
        kind: u8,
    },
    /// The body of a frame is not what its kind says.
    #[error("a frame of kind {kind} that cannot be understood: {what}")]
    Malformed {
        /// The kind.
        kind: u8,
        /// What is wrong.
        what: String,
    },
    /// The hello is that of another version of the protocol, which cannot be understood beyond its version.
    #[error("it speaks version {theirs} of the protocol, and this node {ours}; run builds that speak the same")]
    OtherVersion {
        /// Ours.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
}

/// How many acknowledgements fit into a frame; more are written as several frames.
pub const ACKS_MAX: usize = 4_096;

/// The largest hello.
pub const HELLO_BYTES_MAX: usize = 1 << 20;

/// The largest resume: more than half a million lanes.
pub const RESUME_BYTES_MAX: usize = 16 << 20;

/// What a note or message frame may take beyond the largest message body: its header and that of the layer above.
pub const OVERHEAD_BYTES_MAX: usize = 64 << 10;

impl Limits {
    /// The limits where a message body has at most `message_bytes_max` bytes.
    #[must_use]
    pub const fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max }
    }

    /// The most bytes after the kind that a frame of a known kind may have.
    fn body_bytes_max(self, kind: u8) -> Option<usize> {
        match kind {
            HELLO => Some(HELLO_BYTES_MAX),
            RESUME => Some(RESUME_BYTES_MAX),
            ACKS => Some(ACKS_MAX * ACK_BYTES),
            NOTE | DATA | VOLATILE => Some(self.message_bytes_max.saturating_add(OVERHEAD_BYTES_MAX)),
            _ => None,
        }
    }
}

impl StreamKind {
    const fn has(self, kind: u8) -> bool {
        match self {
            Self::Control => matches!(kind, HELLO | RESUME | ACKS | NOTE),
            Self::Data => matches!(kind, DATA | VOLATILE),
        }
    }
}

impl Frame {
    /// Decodes what comes after the kind. The body is copied into memory of its own: a small message that waits for long
    /// must not keep the large buffer that it arrived in.
    fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
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
        let lane = Lane { line: body.get_u64(), partition: body.get_u16() };
        acks.push(Ack { lane, through: Sequence(body.get_u64()), credit: body.get_u64() });
    }
    Ok(acks)
}

fn decode_data(mut body: &[u8]) -> Result<Data, FrameError> {
    if body.len() < DATA_HEADER_BYTES {
        return Err(FrameError::Truncated { kind: DATA });
    }
    Ok(Data {
        lane: Lane { line: body.get_u64(), partition: body.get_u16() },
        previous: Sequence(body.get_u64()),
        sequence: Sequence(body.get_u64()),
        flags: body.get_u8(),
        body: compact(body),
    })
}

const HELLO: u8 = 1;
const RESUME: u8 = 2;
const ACKS: u8 = 3;
const NOTE: u8 = 4;
const DATA: u8 = 16;
const VOLATILE: u8 = 17;

/// Line, partition, sequence, credit.
const ACK_BYTES: usize = 8 + 2 + 8 + 8;

/// Line, partition, previous, sequence, flags.
const DATA_HEADER_BYTES: usize = 8 + 2 + 8 + 8 + 1;

crate::error_text::debug_as_text!(FrameError);

#[cfg(test)]
mod tests;
