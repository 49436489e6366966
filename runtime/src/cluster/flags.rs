//! What the sender of a message wants to know of it, beyond that it arrived.

/// What becomes of it.
pub(crate) const TELL: u8 = 1;
/// The reply, too. Only together with [`TELL`].
pub(crate) const REPLY: u8 = 2;
/// That it contradicts another one under its idempotency key, and nothing else. Not together with [`TELL`].
pub(crate) const CONTRADICTION: u8 = 4;
