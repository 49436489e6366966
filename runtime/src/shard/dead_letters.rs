//! Dead letters: messages that were given up on, with the reason, kept until someone decides. What is known of them in
//! memory.

pub(crate) mod queue;
pub(crate) mod status;

pub(crate) use self::queue::{DeadLetterQueue, DeadLettersInStep, Slot};
pub(crate) use self::status::DeadLetterStatus;
pub(crate) use crate::shard::rules::dead_letters::known_of;
