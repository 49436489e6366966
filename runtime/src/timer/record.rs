//! The record of a timer, as the store keeps it; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::schedule::Rhythm;
use crate::clock::Micros;
use crate::encode::encode_exactly;

const TIMER_VERSION: u8 = 1;

/// What a timer does. The envelope of its message follows; a tick is made of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerRecord {
    version: u8,
    due: u64,
    pub(crate) rhythm: Rhythm,
}

impl TimerRecord {
    pub(crate) fn new(due: Micros, rhythm: Rhythm) -> Self {
        Self { version: TIMER_VERSION, due: due.0, rhythm }
    }

    pub(crate) fn due(&self) -> Micros {
        Micros(self.due)
    }

    /// The same timer, due then.
    pub(crate) fn due_at(self, due: Micros) -> Self {
        Self { due: due.0, ..self }
    }

    pub(crate) fn encode(&self, envelope: &[u8]) -> Bytes {
        let encoded = encode_exactly(|record| {
            let mut record = postcard::to_extend(self, record)?;
            record.extend_from_slice(envelope);
            Ok(record)
        });
        encoded.expect("plain values can be encoded")
    }

    /// The record, and the envelope behind it; none for bytes that this build cannot read.
    pub(crate) fn decode(record: &[u8]) -> Option<(Self, &[u8])> {
        if record.first() != Some(&TIMER_VERSION) {
            return None;
        }
        postcard::take_from_bytes(record).ok()
    }
}

/// The message of a record in its envelope, if the record can be read.
pub(crate) fn envelope_of(record: &[u8]) -> Option<&[u8]> {
    TimerRecord::decode(record).map(|(_, envelope)| envelope)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::timer::{Missed, Schedule};

    #[test]
    fn the_bytes_of_a_record_are_fixed() {
        let once = TimerRecord::new(Micros(300), Rhythm::Once);
        assert_eq!(once.encode(b"envelope"), [&[1, 0xac, 2, 0], b"envelope".as_slice()].concat());
        let period = Schedule::every(Duration::from_millis(1)).unwrap().missed(Missed::All).into_rhythm();
        assert_eq!(TimerRecord::new(Micros(5), period).encode(b"e"), [1, 5, 1, 0xe8, 7, 2, b'e'].as_slice());
        let cron = Schedule::cron("0 3 * * *").unwrap().missed(Missed::Skip).into_rhythm();
        let expected = [&[1, 5, 2, 9], b"0 3 * * *".as_slice(), &[0], b"e"].concat();
        assert_eq!(TimerRecord::new(Micros(5), cron).encode(b"e"), expected);
        assert_eq!(TimerRecord::decode(&[2, 0, 0]), None, "another version");
    }

    proptest! {
        #[test]
        fn a_record_reads_back(due: u64, period in 1000..u64::MAX, envelope: Vec<u8>) {
            let rhythm = Schedule::every(Duration::from_micros(period)).unwrap().into_rhythm();
            let record = TimerRecord::new(Micros(1), rhythm).due_at(Micros(due));
            let encoded = record.encode(&envelope);
            prop_assert_eq!(TimerRecord::decode(&encoded), Some((record, envelope.as_slice())));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = TimerRecord::decode(&bytes);
        }
    }
}
