//! What the store keeps of an ask that a turn has asked, until that turn has committed; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use everpost_persistence::Position;
use serde::{Deserialize, Serialize};

use super::Asked;
use crate::message::MessageId;
use crate::message::address::Address;

/// Version 1 was a cursor, written for asks to other nodes only.
const RECORD_VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
struct AskedRecord<'a> {
    version: u8,
    turn: [u8; 16],
    place: u32,
    node: Option<&'a str>,
    position: u64,
    to: &'a str,
    message: &'a str,
    message_version: u16,
    digest: [u8; 16],
}

impl Asked {
    pub(crate) fn encode(&self) -> Bytes {
        let record = AskedRecord {
            version: RECORD_VERSION,
            turn: self.turn.0.to_be_bytes(),
            place: self.place,
            node: self.node.as_deref(),
            position: self.position.0,
            to: self.to.as_str(),
            message: &self.message,
            message_version: self.version,
            digest: self.digest,
        };
        postcard::to_allocvec(&record).expect("plain values can be encoded").into()
    }

    /// Reads the record under this key. None for one that is something else: replies lie in the same table, in the
    /// format of their own types, but none says the turn and the place that its key derives from.
    pub(crate) fn decode(request: u128, record: &[u8]) -> Option<Self> {
        if record.first() != Some(&RECORD_VERSION) {
            return None;
        }
        let (record, rest) = postcard::take_from_bytes::<AskedRecord<'_>>(record).ok()?;
        let turn = MessageId(u128::from_be_bytes(record.turn));
        if !rest.is_empty() || turn.ask(record.place).0 != request {
            return None;
        }
        Some(Self {
            turn,
            place: record.place,
            node: record.node.map(str::to_owned),
            position: Position(record.position),
            to: Address::parse(record.to)?,
            message: record.message.to_owned(),
            version: record.message_version,
            digest: record.digest,
            is_given_up: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::asked::tests::asked;

    #[test]
    fn a_record_reads_back_and_its_bytes_are_fixed() {
        let asked = asked();
        let id = asked.turn.ask(3).0;
        let hex: String = asked.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "020000000000000000000000000000000703010477657374090662616e6b2f61056465626974010808080808080808\
                        0808080808080808";
        assert_eq!(hex, expected);
        assert_eq!(Asked::decode(id, &asked.encode()), Some(asked.clone()));
        assert!(asked.encode().len() <= asked.bytes_max());
        // A reply that looks like one, and what an earlier build kept.
        assert_eq!(Asked::decode(id + 1, &asked.encode()), None);
        assert_eq!(Asked::decode(id, &[1, 9]), None);
        assert_eq!(Asked::decode(id, &[asked.encode().as_ref(), &[0]].concat()), None);
    }
}
