//! The kinds of frames, which stream each of them belongs on, and how large it may be.

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
    pub(super) fn body_bytes_max(self, kind: u8) -> Option<usize> {
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
    pub(super) const fn has(self, kind: u8) -> bool {
        match self {
            Self::Control => matches!(kind, HELLO | RESUME | ACKS | NOTE),
            Self::Data => matches!(kind, DATA | VOLATILE),
        }
    }
}

pub(super) const HELLO: u8 = 1;
pub(super) const RESUME: u8 = 2;
pub(super) const ACKS: u8 = 3;
pub(super) const NOTE: u8 = 4;
pub(super) const DATA: u8 = 16;
pub(super) const VOLATILE: u8 = 17;

/// Receiver type, partition, sequence, credit.
pub(super) const ACK_BYTES: usize = 8 + 2 + 8 + 8;

/// Receiver type, partition, previous, sequence, flags.
pub(super) const DATA_HEADER_BYTES: usize = 8 + 2 + 8 + 8 + 1;
