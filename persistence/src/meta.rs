//! The few records about the store itself, and the checks that join its two halves.

use crate::error::{Damage, Environment, OpenError};
use crate::format::FORMAT_VERSION_OLDEST;
use crate::hash::Chain;
use crate::ids::{Epoch, Group, Position, ShardId};
use crate::integers::{take_count, take_u16, take_u64, take_u128};
use crate::record;

/// Four bytes without a header, so that every version of this crate can read it.
pub(crate) const FORMAT: &str = "format";
/// [`Identity`].
pub(crate) const STORE: &str = "store";
/// [`Epoch`]; in the journal.
pub(crate) const EPOCH: &str = "epoch";
/// [`Cut`]; in the journal.
pub(crate) const CUT: &str = "cut";
/// Whether the last run closed; in the journal.
pub(crate) const CLEAN: &str = "clean";
/// [`Applied`]; in the tables.
pub(crate) const APPLIED: &str = "applied";

/// The names of all records about the store in the journal.
pub(crate) const IN_JOURNAL: [&str; 5] = [FORMAT, STORE, EPOCH, CUT, CLEAN];
/// The same in the tables.
pub(crate) const IN_TABLES: [&str; 3] = [FORMAT, STORE, APPLIED];

/// What was decided when the store was made; the same in both environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: ShardId,
    pub(crate) partitions: u16,
}

/// How far the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    pub(crate) group: Group,
    pub(crate) position: Position,
    /// Of all groups up to that one; none where an older build has written it.
    pub(crate) chain: Option<Chain>,
}

/// How far the journal was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    pub(crate) group: Group,
    /// As in [`Applied`].
    pub(crate) chain: Option<Chain>,
}

/// A value that is kept as a `meta` record.
pub(crate) trait Meta: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(rest: &mut &[u8]) -> Option<Self>;

    /// The stored form under `key`.
    fn encode(&self, key: &[u8]) -> Vec<u8> {
        record::encode(key, &self.to_bytes())
    }

    /// Reads what is stored under `key`.
    fn decode(table: &'static str, key: &[u8], stored: &[u8]) -> Result<Self, Damage> {
        let mut rest = record::value(table, key, stored)?;
        let value = Self::from_bytes(&mut rest).filter(|_| rest.is_empty());
        value.ok_or_else(|| Damage::new(table, key, "its length does not fit, or a number in it"))
    }
}

impl Meta for Identity {
    fn to_bytes(&self) -> Vec<u8> {
        [&self.store.0.to_be_bytes()[..], &self.partitions.to_be_bytes()].concat()
    }

    fn from_bytes(rest: &mut &[u8]) -> Option<Self> {
        Some(Self { store: ShardId(take_u128(rest)?), partitions: take_u16(rest)? })
    }
}

impl Meta for Epoch {
    fn to_bytes(&self) -> Vec<u8> {
        [self.counter.to_be_bytes(), self.nonce.to_be_bytes()].concat()
    }

    fn from_bytes(rest: &mut &[u8]) -> Option<Self> {
        Some(Self { counter: take_count(rest)?, nonce: take_u64(rest)? })
    }
}

impl Meta for Applied {
    fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.group.0, self.position.0].into_iter().chain(self.chain.map(|chain| chain.0));
        numbers.flat_map(u64::to_be_bytes).collect()
    }

    fn from_bytes(rest: &mut &[u8]) -> Option<Self> {
        let (group, position) = (Group(take_count(rest)?), Position(take_count(rest)?));
        Some(Self { group, position, chain: take_chain(rest)? })
    }
}

impl Meta for Cut {
    fn to_bytes(&self) -> Vec<u8> {
        [self.group.0].into_iter().chain(self.chain.map(|chain| chain.0)).flat_map(u64::to_be_bytes).collect()
    }

    fn from_bytes(rest: &mut &[u8]) -> Option<Self> {
        Some(Self { group: Group(take_count(rest)?), chain: take_chain(rest)? })
    }
}

/// At the end of a record, where it has one.
fn take_chain(rest: &mut &[u8]) -> Option<Option<Chain>> {
    if rest.is_empty() { Some(None) } else { take_u64(rest).map(|chain| Some(Chain(chain))) }
}

impl Meta for bool {
    fn to_bytes(&self) -> Vec<u8> {
        vec![u8::from(*self)]
    }

    fn from_bytes(rest: &mut &[u8]) -> Option<Self> {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        match byte {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// The stored format, one up to that which is `supported`. Refuses any other, before anything else is read.
pub(crate) fn format(
    environment: Environment,
    table: &'static str,
    key: &[u8],
    stored: &[u8],
    supported: u32,
) -> Result<u32, OpenError> {
    let bytes: [u8; 4] = stored.try_into().map_err(|_| Damage::new(table, key, "its length does not fit"))?;
    match u32::from_be_bytes(bytes) {
        known if (FORMAT_VERSION_OLDEST..=supported).contains(&known) => Ok(known),
        found => Err(OpenError::FormatVersion { environment, found, supported }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<M: Meta + PartialEq + std::fmt::Debug>(value: &M) {
        let stored = value.encode(b"key");
        assert_eq!(M::decode("meta", b"key", &stored).as_ref(), Ok(value));
        assert!(M::decode("meta", b"other", &stored).is_err(), "a record under another key");
        let longer = record::encode(b"key", &[&value.to_bytes()[..], &[0]].concat());
        assert!(M::decode("meta", b"key", &longer).is_err(), "a longer record");
    }

    #[test]
    fn meta_records_survive() {
        survives(&Identity { store: ShardId(u128::MAX - 5), partitions: 64 });
        survives(&Epoch { counter: 3, nonce: 9 });
        for chain in [None, Some(Chain(9))] {
            survives(&Applied { group: Group(7), position: Position(8), chain });
            survives(&Cut { group: Group(1 << 40), chain });
        }
        survives(&true);
    }

    #[test]
    fn another_format_says_both_versions() {
        let read = |stored: &[u8]| format(Environment::Tables, "meta", b"format", stored, 5);
        for known in [1_u32, 2, 3, 4, 5] {
            assert_eq!(read(&known.to_be_bytes()).unwrap(), known);
        }
        for unknown in [0_u32, 6] {
            let error = read(&unknown.to_be_bytes()).unwrap_err();
            let OpenError::FormatVersion { environment: Environment::Tables, found, supported: 5 } = error else {
                panic!("{error}")
            };
            assert_eq!(found, unknown);
        }
        let error = read(b"abc").unwrap_err();
        assert!(matches!(error, OpenError::Damaged { table: "meta", .. }));
    }
}
