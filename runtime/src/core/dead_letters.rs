//! Dead letters: messages that were given up on, with the reason, kept until someone decides. What is known of them in memory.

mod shelf;
mod whereabouts;

pub(crate) use self::shelf::{LettersInStep, Shelf, Slot};
pub(crate) use self::whereabouts::Whereabouts;
pub(crate) use crate::core::rules::letters::known_of;
