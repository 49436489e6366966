//! The record of a message's failures, as the store keeps it; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::clock::Steady;
use crate::mailbox::Failures;

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
}
