//! What the two sides of a conversation have agreed on.

use rustc_hash::FxHashSet;

/// What a peer takes, and how much it grants, in one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The types of receivers that it has; messages to others wait.
    pub receiver_types: FxHashSet<u64>,
    /// How many bytes of a lane may be in flight until it says otherwise.
    pub credit: u64,
    /// The largest message that it takes, in bytes.
    pub message_bytes_max: u64,
}
