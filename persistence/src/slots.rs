//! What each thread has in flight, and how far the journal is, in a small mapped file: it survives the process, though
//! not always the machine.
//!
//! A record that kills the process whenever it is handled has to be found out after the fact. So each thread notes what
//! it works on, with a store to memory that the kernel keeps when the process is gone. Nothing here is ever synced:
//! what is in flight is a hint to look at those records first, and the journal is at least as far as is said here, or
//! has been exchanged for an older one.

mod map;
mod mark;
mod promise;
mod slot;

pub use self::map::SLOTS;
pub use self::mark::Mark;
pub(crate) use self::promise::Promise;
pub use self::slot::{Before, InFlight, Slot, Slots};
