//! How large a message may be so that whatever becomes of it fits one submission to the store. Pure arithmetic; the one
//! place that knows it. Settings, doors, introductions and arrivals all keep to the number that comes out.
//!
//! What becomes of a message that takes most is its end: its dead letter, and the notice to its actor, in one commit.
//! Both hold all of it, and the notice its address once more. A tick of a repeating timer is less: the message, and the
//! timer's record.

use crate::message::address::ADDRESS_BYTES_MAX;

/// What a dead letter and the notice of it have beside what is in the message: their versions, numbers, ids and
/// lengths.
const BESIDE_BYTES: usize = 512;

/// The largest message, with its headers, that a store takes whose submissions have at most `submission_bytes`.
pub(crate) const fn message_bytes_max(submission_bytes: usize) -> usize {
    let room = submission_bytes.saturating_sub(BESIDE_BYTES);
    // An address is part of its message, and no longer than that.
    if room / 3 <= ADDRESS_BYTES_MAX { room / 3 } else { (room - ADDRESS_BYTES_MAX) / 2 }
}

/// The least limit of a submission for messages of so many bytes: the other way round.
pub(crate) const fn submission_bytes_min(message_bytes: usize) -> usize {
    let address_bytes = if message_bytes < ADDRESS_BYTES_MAX { message_bytes } else { ADDRESS_BYTES_MAX };
    message_bytes.saturating_mul(2).saturating_add(address_bytes + BESIDE_BYTES)
}

#[cfg(test)]
mod tests;
