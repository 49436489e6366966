//! The record of a group's restarts, as the store keeps it, and where; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use everpost_persistence::{Key, MailboxId, Partition};

use crate::base::clock::Steady;
use crate::message::address::mailbox_id;
use crate::record::budget::Restarts;
use crate::record::supervised::Supervised;
use crate::tables;

/// Under which id the store keeps what it knows of the group with this path.
pub(super) fn subject(path: &str) -> MailboxId {
    mailbox_id(&name(path))
}

/// Where the store keeps it.
pub(super) fn key(subject: MailboxId) -> Key {
    tables::supervision(Partition(0), subject)
}

pub(super) fn encode(path: &str, moments: &[Steady]) -> Bytes {
    Supervised::restarted(Restarts::new(moments.to_vec())).encode(&name(path))
}

/// Reads a record; none for bytes that this build cannot read.
pub(super) fn decode(record: &[u8]) -> Option<Restarts> {
    Supervised::decode(record).map(|(_, supervised)| supervised.into_restarts())
}

/// No actor and no actor type has it: a space cannot be part of an actor type.
fn name(path: &str) -> String {
    format!("group {path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_record_are_as_specified() {
        let record = encode("a/b", &[Steady(1), Steady(300)]);
        assert_eq!(record, [&[1, 9][..], b"group a/b", &[2, 1, 0xac, 0x02, 0]].concat());
        assert_eq!(decode(&record), Some(Restarts::new(vec![Steady(1), Steady(300)])));
        assert_eq!(decode(&[9, 0, 0, 0]), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn the_subject_of_a_group_is_as_specified() {
        let hash = blake3::hash(b"group ingest/inner");
        assert_eq!(subject("ingest/inner").0.to_be_bytes(), hash.as_bytes()[..16]);
    }
}
