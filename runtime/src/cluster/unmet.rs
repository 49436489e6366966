//! Which peers are not spoken with, and what they may have been sent before: so that a start knows which messages were
//! never sent.

use std::collections::BTreeMap;

use crate::tables;
use bytes::Bytes;
use everpost_persistence::{Key, Position};
use serde::{Deserialize, Serialize};

const RECORD_VERSION: u8 = 1;

/// Of each peer that is not spoken with, the last position that it may have been sent. A peer that is not here may have
/// been sent everything. Changed in the step that submits the change to the store: before anything is sent to a peer it
/// is durably out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnmetPeers {
    sent_through: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct UnmetRecord {
    version: u8,
    counter: u64,
    sent_through: BTreeMap<String, u64>,
}

impl UnmetPeers {
    /// Where the store keeps it.
    pub(crate) const KEY: Key = tables::note(2);

    /// Nothing is sent to this peer from here on. Returns whether that is news.
    pub(crate) fn parted(&mut self, peer: &str, sent_through: Position) -> bool {
        self.sent_through.insert(peer.to_owned(), sent_through.0) != Some(sent_through.0)
    }

    /// Anything may be sent to this peer from here on. Returns whether that is news.
    pub(crate) fn met(&mut self, peer: &str) -> bool {
        self.sent_through.remove(peer).is_some()
    }

    /// The last position that a peer may have been sent, if that is known.
    pub(crate) fn sent_through(&self, peer: &str) -> Option<Position> {
        self.sent_through.get(peer).map(|position| Position(*position))
    }

    /// `counter` is that of the run that writes it: each does, so that it is known whether an older build has run
    /// since, which does not keep it.
    pub(crate) fn encode(&self, counter: u64) -> Bytes {
        let record = UnmetRecord { version: RECORD_VERSION, counter, sent_through: self.sent_through.clone() };
        postcard::to_allocvec(&record).expect("plain values can be encoded").into()
    }

    /// What the run before that with this `counter` has left. None for bytes that this build cannot read, and for those
    /// of another run.
    pub(crate) fn decode(record: &[u8], counter: u64) -> Option<Self> {
        let UnmetRecord { version, counter: before, sent_through } = postcard::from_bytes(record).ok()?;
        (version == RECORD_VERSION && before + 1 == counter).then_some(Self { sent_through })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_spoken_with_may_have_been_sent_everything() {
        let mut unmet = UnmetPeers::default();
        assert_eq!(unmet.sent_through("west"), None);
        assert!(unmet.parted("west", Position(7)) && !unmet.parted("west", Position(7)));
        assert_eq!(unmet.sent_through("west"), Some(Position(7)));
        let record = unmet.encode(3);
        assert_eq!(&record[..], b"\x01\x03\x01\x04west\x07", "the bytes are fixed");
        assert_eq!(UnmetPeers::decode(&record, 4), Some(unmet.clone()));
        assert_eq!(UnmetPeers::decode(&record, 5), None, "a run in between did not keep it");
        assert!(unmet.met("west") && !unmet.met("west"));
        assert_eq!((unmet.sent_through("west"), UnmetPeers::decode(&[2, 0, 0], 1)), (None, None));
    }
}
