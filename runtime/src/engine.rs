//! What happens to a message: the activation that handles it, and the trials after an unclean end.

pub(crate) mod acknowledge;
pub(crate) mod activating;
pub(crate) mod crowding;
pub(crate) mod dead_letter_retention;
pub(crate) mod deduplicate;
pub(crate) mod expiry;
pub(crate) mod failing;
pub(crate) mod holding;
pub(crate) mod inquiry;
pub(crate) mod new_timers;
pub(crate) mod outbox_expiry;
pub(crate) mod pausing;
pub(crate) mod quarantine;
pub(crate) mod reading;
pub(crate) mod rousing;
pub(crate) mod state_limit;
pub(crate) mod timer_recovery;
pub(crate) mod timers;
pub(crate) mod wheel;
