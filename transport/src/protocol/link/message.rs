//! What travels in a lane, and how it is acknowledged.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where a sequence of messages goes: a type of receivers, and one of its partitions. Each lane has an order of its
/// own, and one that is held up holds up no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The type of the receivers. What is behind the number is for the layer above to know.
    pub receiver_type: u64,
    /// The partition.
    pub partition: u16,
}

/// The number of a message, given out by the sender's store. Numbers only grow; 0 means "none", the beginning of a
/// lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sequence(pub u64);

/// A message in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Its lane.
    pub lane: Lane,
    /// The message before it in the lane; what the receiver must have.
    pub previous: Sequence,
    /// Its number.
    pub sequence: Sequence,
    /// What the sender wants to be told about the message. What a bit asks for is for the layer above to know.
    pub flags: u8,
    /// The message.
    pub body: Bytes,
}

/// Everything of a lane up to a message is durable at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The lane.
    pub lane: Lane,
    /// The last message that is durable.
    pub through: Sequence,
    /// How many bytes of the lane may be in flight beyond it.
    pub credit: u64,
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}/{}", self.receiver_type, self.partition)
    }
}
