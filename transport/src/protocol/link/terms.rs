//! What the two sides of a conversation have agreed on.

use rustc_hash::FxHashSet;

/// What a peer takes and grants in a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The lines that it takes messages of; those of others wait.
    pub lines: FxHashSet<u64>,
    /// How many bytes of a lane may be under way until it says otherwise.
    pub credit: u64,
    /// The largest message that it takes, in bytes.
    pub message_bytes_max: u64,
}
