//! The record of a group's restarts, as the store keeps it, and where; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use everpost_persistence::{Key, MailboxId, Partition};
use serde::{Deserialize, Serialize};

use crate::address::mailbox_id;
use crate::budget::Restarts;
use crate::clock::Micros;

const RESTARTS_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct RestartsRecord<'a> {
    version: u8,
    group: &'a str,
    restarts: Vec<u64>,
}

/// Under which id the store keeps what it knows of the group with this path. No actor has it: a space cannot be part of
/// an actor type.
pub(super) fn subject(path: &str) -> MailboxId {
    mailbox_id(&format!("group {path}"))
}

/// Where the store keeps it.
pub(super) fn key(subject: MailboxId) -> Key {
    Key::Supervision { partition: Partition(0), subject }
}

pub(super) fn encode(path: &str, moments: &[Micros]) -> Bytes {
    let restarts = moments.iter().map(|moment| moment.0).collect();
    let record = RestartsRecord { version: RESTARTS_VERSION, group: path, restarts };
    postcard::to_allocvec(&record).expect("plain values can be encoded").into()
}

/// Reads a record; none for bytes that are not one.
pub(super) fn decode(record: &[u8]) -> Option<Restarts> {
    if record.first() != Some(&RESTARTS_VERSION) {
        return None;
    }
    let record: RestartsRecord<'_> = postcard::from_bytes(record).ok()?;
    Some(Restarts::new(record.restarts.into_iter().map(Micros).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_record_are_as_specified() {
        let record = encode("a/b", &[Micros(1), Micros(300)]);
        assert_eq!(record[..], [1, 3, b'a', b'/', b'b', 2, 1, 0xac, 0x02]);
        assert_eq!(decode(&record), Some(Restarts::new(vec![Micros(1), Micros(300)])));
        assert_eq!(decode(&[9, 0, 0]), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn the_subject_of_a_group_is_as_specified() {
        let hash = blake3::hash(b"group ingest/inner");
        assert_eq!(subject("ingest/inner").0.to_be_bytes(), hash.as_bytes()[..16]);
    }
}
