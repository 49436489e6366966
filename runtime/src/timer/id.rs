//! What a timer is called.

use std::fmt;
use std::num::NonZeroU16;

use everpost_persistence::{Key, Partition};
use serde::{Deserialize, Serialize};

use crate::message::MessageId;
use crate::tables;

/// Names a timer, for as long as it is kept. A turn may keep it in its state, to cancel the timer later.
///
/// It is known to the node that set the timer, wherever the message goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId {
    /// That of the address that the message goes to; of a timer with a name, one that derives from the name.
    partition: u16,
    /// As bytes, since a number of that size would be laid out in 32 bytes.
    name: [u8; 16],
}

impl TimerId {
    pub(crate) fn new(partition: Partition, name: MessageId) -> Self {
        Self { partition: partition.0, name: name.0.to_be_bytes() }
    }

    /// Of a timer that is known by its name alone.
    pub(crate) fn of_name(name: MessageId, partitions: NonZeroU16) -> Self {
        let partition = name.0 % u128::from(partitions.get());
        Self::new(Partition(u16::try_from(partition).expect("it is below the number of partitions")), name)
    }

    /// The identity that stands in the stored message; those of its ticks derive from it.
    pub(crate) fn message(self) -> MessageId {
        MessageId(u128::from_be_bytes(self.name))
    }

    /// Where the store keeps the timer.
    pub(crate) fn key(self) -> Key {
        tables::timer(Partition(self.partition), u128::from_be_bytes(self.name))
    }
}

impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.message())
    }
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_id_is_small_and_reads_back_from_a_state() {
        let timer = TimerId::new(Partition(7), MessageId(0xab));
        assert_eq!(timer.to_string(), "7-000000000000000000000000000000ab");
        assert_eq!(size_of::<TimerId>(), 18);
        let bytes = postcard::to_allocvec(&timer).unwrap();
        assert_eq!(postcard::from_bytes::<TimerId>(&bytes).unwrap(), timer);
        assert_eq!(timer.key(), tables::timer(Partition(7), 0xab));
    }
}
