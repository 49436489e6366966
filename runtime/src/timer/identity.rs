//! When two timers are one: by name, or by what they do.

use super::plan::Plan;
use crate::message::fingerprint::Fingerprint;
use crate::message::refusal::Refusal;
use crate::message::{Message, MessageId, first_half};

/// The longest name of a timer, in bytes.
pub const TIMER_NAME_BYTES_MAX: usize = 255;

/// By what a timer is known that is to be set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KnownBy<'a> {
    /// It is one of its own, whatever else there is.
    Itself,
    /// It is the one that sends this message there by this plan.
    Content,
    /// It is the one of this name.
    Name(&'a str),
}

/// What a timer does, in short: two with the same digests do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) plan: u128,
    /// Of the message and where it goes.
    pub(crate) message: u128,
}

impl Digests {
    /// Of a timer that sends `message` to this address by this plan. Messages are compared as values: maps in any order
    /// are the same.
    pub(crate) fn of<M: Message>(plan: &Plan, destination: &str, message: &M) -> Result<Self, Refusal> {
        let value = match Fingerprint::of_all(message) {
            Some(fingerprint) => fingerprint.to_vec(),
            None => postcard::to_allocvec(message).map_err(Refusal::Encode)?,
        };
        let mut hasher = blake3::Hasher::new();
        for part in [destination.as_bytes(), M::NAME.as_bytes(), &M::VERSION.to_be_bytes(), &value] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Ok(Self { plan: digest_of(plan), message: first_half(&hasher.finalize()) })
    }

    /// Of a timer whose record keeps the digest of its message.
    pub(crate) fn read(plan: &Plan, message: u128) -> Self {
        Self { plan: digest_of(plan), message }
    }

    /// The id of the one timer that does this.
    pub(crate) fn id(self) -> MessageId {
        let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 timer of a plan and a message");
        hasher.update(&self.plan.to_be_bytes());
        hasher.update(&self.message.to_be_bytes());
        MessageId(first_half(&hasher.finalize()))
    }
}

fn digest_of(plan: &Plan) -> u128 {
    first_half(&blake3::hash(&postcard::to_allocvec(plan).expect("plain values can be encoded")))
}

/// The id of the timer of this name.
pub(crate) fn id_of_name(name: &str) -> MessageId {
    let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 timer of a name");
    hasher.update(name.as_bytes());
    MessageId(first_half(&hasher.finalize()))
}

/// Whether a timer may have this name.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > TIMER_NAME_BYTES_MAX || name.contains(char::is_control) {
        return Err(Refusal::TimerName { bytes: name.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::timer::Schedule;

    #[derive(Debug, serde::Serialize, serde::Deserialize, everpost::Message)]
    struct Note {
        text: String,
        tags: HashMap<u32, bool>,
    }

    fn digests(seconds: u64, to: &str, text: &str) -> Digests {
        let plan = Schedule::every(Duration::from_secs(seconds)).unwrap().into_plan();
        Digests::of(&plan, to, &Note { text: text.into(), tags: (0..20).map(|tag| (tag, true)).collect() }).unwrap()
    }

    #[test]
    fn timers_that_do_the_same_have_one_id_whoever_set_them_and_when() {
        let id = digests(1, "box/a", "hi").id();
        assert_eq!(digests(1, "box/a", "hi").id(), id);
        for other in [digests(2, "box/a", "hi"), digests(1, "box/b", "hi"), digests(1, "box/a", "ho")] {
            assert_ne!(other.id(), id);
        }
        assert_eq!(digests(1, "box/a", "hi").plan, digests(1, "box/b", "ho").plan);
        let plan = Schedule::every(Duration::from_secs(1)).unwrap().into_plan();
        assert_eq!(Digests::read(&plan, digests(1, "box/a", "hi").message).id(), id, "as a record has it");
    }

    #[test]
    fn the_id_of_a_name_is_part_of_the_format() {
        assert_eq!(id_of_name("nightly-report").to_string(), "435cac5303ec2167bbe165e71bde58b5");
        assert_ne!(id_of_name("a"), id_of_name("b"));
    }

    #[test]
    fn a_name_is_short_and_fits_a_line() {
        assert!(check_name("nightly-report").is_ok() && check_name(&"x".repeat(TIMER_NAME_BYTES_MAX)).is_ok());
        for name in ["", "two\nlines", "\u{1b}[31m", &"x".repeat(TIMER_NAME_BYTES_MAX + 1)] {
            assert!(matches!(check_name(name), Err(Refusal::TimerName { .. })), "{name:?}");
        }
    }
}
