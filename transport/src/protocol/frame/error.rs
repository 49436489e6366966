//! Why bytes are not frames of this protocol.

use super::layout::StreamKind;

/// The bytes of a peer are not frames of this protocol, or a frame cannot be sent. In the first case nothing can be
/// read from the stream any more.
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
    #[error(
        "a frame of kind {kind} on a {} stream",
        match stream { StreamKind::Control => "control", StreamKind::Data => "data" }
    )]
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

crate::text::debug_as_text!(FrameError);
