//! A mailbox that is not made yet. A start finds messages in the store for as many addresses as there are; where one
//! message waits and nothing else is to be known, an entry of the directory says so, without the text of the address.
//! The mailbox is made of it when somebody comes with that text: a sender, or whoever rouses what waits and reads it in
//! the message.

use std::num::NonZeroU16;

use everpost_persistence::Position;

/// A larger message has its mailbox from the start, so that to read addresses in messages takes little memory.
const BYTES_MAX: usize = 8 << 10;

/// One message that waits in the store, of normal priority, without an idempotency key or an expiry, that never failed,
/// is not held, and whose turn has asked nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lone {
    pub(crate) position: Position,
    bytes: NonZeroU16,
    /// Which of the types that the directory knows.
    pub(super) actor_type: u16,
}

impl Lone {
    /// Of an envelope of so many bytes, unless it is a large one.
    pub(super) fn new(position: Position, bytes: usize, actor_type: u16) -> Option<Self> {
        let bytes = Some(bytes).filter(|bytes| *bytes <= BYTES_MAX).and_then(|bytes| u16::try_from(bytes).ok());
        Some(Self { position, bytes: NonZeroU16::new(bytes?)?, actor_type })
    }

    /// The bytes of its envelope.
    pub(super) fn bytes(self) -> usize {
        self.bytes.get().into()
    }
}
