//! What is known of a message that could not be handled at once, and its record as the store keeps it; specified in
//! `docs/FORMAT.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::clock::Steady;

const ATTEMPTS_VERSION: u8 = 3;
/// Without `deaths`. Written where there are none, so that older builds read it.
const ATTEMPTS_VERSION_2: u8 = 2;
/// Without `aside`.
const ATTEMPTS_VERSION_1: u8 = 1;

#[derive(Serialize, Deserialize)]
struct AttemptsRecord {
    version: u8,
    attempts: u32,
    not_before: u64,
    alone: bool,
    errors: Vec<String>,
}

/// What happened to a message so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) attempts: u32,
    pub(crate) not_before: Steady,
    /// One line for each failure, newest last; bounded by the caller.
    pub(crate) errors: Vec<String>,
    /// It is run alone, because the process may have died of it.
    pub(crate) alone: bool,
    /// It waits beside its queue, and others pass it meanwhile.
    pub(crate) aside: bool,
    /// So often the process has died while it was in flight and not run alone: of it, of another, or of a kill from
    /// outside.
    pub(crate) deaths: u32,
}

/// How often the process may die of who knows what with a message in flight before nothing else runs until that one has
/// ended.
pub(crate) const DEATHS_MAX: u32 = 100;

impl Failures {
    /// One more attempt has failed.
    pub(crate) fn count(&mut self, error: String, errors_max: usize) {
        // What a record says may be any number.
        self.attempts = self.attempts.saturating_add(1);
        self.alone = false;
        self.note(error, errors_max);
    }

    /// The process has died with it in flight. Nothing tells a process how it died, so one that ran alone is to blame,
    /// and one that did not is only suspected.
    pub(crate) fn died(&mut self, errors_max: usize) {
        if self.alone {
            self.count("the process died while this message ran alone".to_owned(), errors_max);
        } else {
            self.deaths = self.deaths.saturating_add(1);
        }
    }

    /// Whether it runs alone until it has ended. As a rule it does so for a while only: who lives that long is no more
    /// suspect than others, and may go on for hours.
    pub(crate) fn is_tried_to_the_end(&self) -> bool {
        self.deaths >= DEATHS_MAX
    }

    /// Keeps an error that is no attempt's.
    pub(crate) fn note(&mut self, error: String, errors_max: usize) {
        self.errors.push(error);
        if self.errors.len() > errors_max {
            self.errors.remove(0);
        }
    }
}

impl Failures {
    pub(crate) fn encode(&self) -> Bytes {
        let record = AttemptsRecord {
            version: if self.deaths == 0 { ATTEMPTS_VERSION_2 } else { ATTEMPTS_VERSION },
            attempts: self.attempts,
            not_before: self.not_before.0,
            alone: self.alone,
            errors: self.errors.clone(),
        };
        let encoded = match self.deaths {
            0 => postcard::to_allocvec(&(record, self.aside)),
            deaths => postcard::to_allocvec(&(record, self.aside, deaths)),
        };
        encoded.expect("plain values can be encoded").into()
    }

    /// Reads a record; none for bytes that are not one.
    pub(crate) fn decode(record: &[u8]) -> Option<Self> {
        let (record, rest) = postcard::take_from_bytes::<AttemptsRecord>(record).ok()?;
        let (aside, deaths) = match record.version {
            ATTEMPTS_VERSION => postcard::from_bytes(rest).ok()?,
            ATTEMPTS_VERSION_2 => (postcard::from_bytes(rest).ok()?, 0),
            ATTEMPTS_VERSION_1 => (false, 0),
            _ => return None,
        };
        let AttemptsRecord { attempts, not_before, alone, errors, .. } = record;
        Some(Self { attempts, not_before: Steady(not_before), errors, alone, aside, deaths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back() {
        let errors = vec!["one".into(), "two".into()];
        let failures = Failures { attempts: 3, not_before: Steady(77), errors, alone: true, aside: true, deaths: 300 };
        assert_eq!(Failures::decode(&failures.encode()), Some(failures));
        assert_eq!(Failures::decode(&[9, 9]), None);
    }

    #[test]
    fn deaths_take_a_new_version_and_a_record_without_them_the_one_before() {
        let failures = Failures { attempts: 3, not_before: Steady(77), deaths: 5, ..Failures::default() };
        assert_eq!(failures.encode(), [3, 3, 77, 0, 0, 0, 5].as_slice());
        assert_eq!(Failures::decode(&[2, 3, 77, 0, 0, 0]), Some(Failures { deaths: 0, ..failures }));
    }

    #[test]
    fn a_record_of_version_1_is_of_a_message_in_its_queue() {
        let failures = Failures { attempts: 3, not_before: Steady(77), ..Failures::default() };
        assert_eq!(failures.encode(), [2, 3, 77, 0, 0, 0].as_slice());
        assert_eq!(Failures::decode(&[1, 3, 77, 0, 0]), Some(failures));
    }

    /// A message and how it ends the process, tried as often as it takes; returns how many deaths it was given up on
    /// after, in all and alone.
    fn tried(attempts_max: u32, dies_alone_soon: bool, dies_in_the_end: bool) -> Option<(u32, u32)> {
        let mut failures = Failures::default();
        for deaths in 1..1000 {
            failures.died(8);
            if failures.attempts >= attempts_max {
                return Some((deaths, failures.attempts));
            }
            failures.alone = dies_alone_soon || (dies_in_the_end && failures.is_tried_to_the_end());
        }
        None
    }

    #[test]
    fn only_deaths_alone_are_attempts_and_whoever_is_killed_from_outside_for_long_is_tried_to_the_end() {
        assert_eq!(tried(8, true, true), Some((9, 8)), "the first death makes it a suspect");
        assert_eq!(tried(8, false, true), Some((DEATHS_MAX + 8, 8)), "it takes longer than it runs alone");
        assert_eq!(tried(8, false, false), None);
    }
}
