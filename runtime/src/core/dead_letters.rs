//! Dead letters: messages that were given up on, with the reason, kept until someone decides. What is known of them in memory.

mod index;
mod shelf;
mod whereabouts;

pub(crate) use self::index::known_of;
pub(crate) use self::shelf::{LettersInStep, Shelf, Slot};
pub(crate) use self::whereabouts::Whereabouts;
