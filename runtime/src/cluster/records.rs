//! What the store keeps about other stores; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use everpost_transport::hello::{EarlierRun, KnownStore};
use everpost_transport::link::Sequence;
use serde::{Deserialize, Serialize};

const RECORD_VERSION: u8 = 1;

/// How far a lane has come, received or acknowledged.
#[derive(Serialize, Deserialize)]
struct CursorRecord {
    version: u8,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
struct PeerRecord<'a> {
    version: u8,
    node: &'a str,
    counter: u64,
    nonce: u64,
}

/// The runs that a store was through, under its own id.
#[derive(Serialize, Deserialize)]
struct RunsRecord {
    version: u8,
    runs: Vec<EarlierRun>,
}

/// The most bytes that [`encode_cursor`] makes.
pub(crate) const CURSOR_BYTES_MAX: usize = 11;

pub(crate) fn encode_cursor(sequence: Sequence) -> Bytes {
    let record = CursorRecord { version: RECORD_VERSION, sequence: sequence.0 };
    let mut buffer = [0; CURSOR_BYTES_MAX];
    let bytes = postcard::to_slice(&record, &mut buffer).expect("a cursor fits its largest size");
    Bytes::copy_from_slice(bytes)
}

/// None for bytes that this build cannot read.
pub(crate) fn decode_cursor(record: &[u8]) -> Option<Sequence> {
    let record: CursorRecord = postcard::from_bytes(record).ok()?;
    (record.version == RECORD_VERSION).then_some(Sequence(record.sequence))
}

pub(crate) fn encode_known_store(store: &KnownStore) -> Bytes {
    let KnownStore { node, counter, nonce } = store;
    let record = PeerRecord { version: RECORD_VERSION, node, counter: *counter, nonce: *nonce };
    postcard::to_allocvec(&record).expect("plain values can be encoded").into()
}

/// None for bytes that this build cannot read.
pub(crate) fn decode_known_store(record: &[u8]) -> Option<KnownStore> {
    let record: PeerRecord<'_> = postcard::from_bytes(record).ok()?;
    let PeerRecord { version, node, counter, nonce } = record;
    (version == RECORD_VERSION).then(|| KnownStore { node: node.to_owned(), counter, nonce })
}

pub(crate) fn encode_runs(runs: &[EarlierRun]) -> Bytes {
    let record = RunsRecord { version: RECORD_VERSION, runs: runs.to_vec() };
    postcard::to_allocvec(&record).expect("plain values can be encoded").into()
}

/// None for bytes that this build cannot read.
pub(crate) fn decode_runs(record: &[u8]) -> Option<Vec<EarlierRun>> {
    let record: RunsRecord = postcard::from_bytes(record).ok()?;
    (record.version == RECORD_VERSION).then_some(record.runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_fit() {
        for sequence in [0, 1, u64::MAX] {
            let record = encode_cursor(Sequence(sequence));
            assert!(record.len() <= CURSOR_BYTES_MAX);
            assert_eq!(decode_cursor(&record), Some(Sequence(sequence)));
        }
        assert_eq!(decode_cursor(&[2, 7]), None);
        let store = KnownStore { node: "west".into(), counter: 3, nonce: 9 };
        assert_eq!(decode_known_store(&encode_known_store(&store)), Some(store));
        assert_eq!(decode_known_store(&[2, 0, 0, 0]), None);
        let runs = vec![EarlierRun { counter: 1, nonce: 2, first: Sequence(3) }];
        assert_eq!(decode_runs(&encode_runs(&runs)), Some(runs));
        assert_eq!(decode_runs(&[2, 0]), None);
    }
}
