//! The record of an actor's state, as the store keeps it; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::State;
use crate::base::caught::caught;
use crate::message::address::Address;
use crate::message::encode::encode_exactly;
use crate::message::failure::Failure;
use crate::record::schema::{Schema, Unreadable, read_state};

/// The layout without a name, from when states had none.
const LAYOUT_UNNAMED: u8 = 1;
/// The layout that is written.
const LAYOUT: u8 = 2;

/// The headers of a state. The state follows them.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateRecord<'a> {
    layout: u8,
    /// To be dropped once the mailbox is empty.
    forget: bool,
    address: &'a str,
    state_name: &'a str,
    state_version: u16,
}

/// The headers in the layout without a name: layout, forget, address, and the version, which is always 1.
type UnnamedRecord<'a> = (u8, bool, &'a str, u16);

/// What a turn needs to know of the record that is in the store, or on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StateSummary {
    pub(crate) bytes: usize,
    pub(crate) forget: bool,
}

/// A record, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredState<'a> {
    forget: bool,
    pub(crate) address: &'a str,
    /// None in a record that was written when states had no names.
    pub(crate) name: Option<&'a str>,
    pub(crate) version: u16,
    pub(crate) bytes: &'a [u8],
}

impl StateRecord<'_> {
    pub(crate) fn encode<S: State>(address: &Address, state: &S, forget: bool) -> Result<Bytes, Failure> {
        let header = StateRecord {
            layout: LAYOUT,
            forget,
            address: address.as_str(),
            state_name: S::NAME,
            state_version: S::VERSION,
        };
        encode_exactly(|record| {
            let record = postcard::to_extend(&header, record)?;
            postcard::to_extend(state, record)
        })
        .map_err(|error| Failure::reject(format!("the state cannot be encoded: {error}")))
    }

    /// Whether the state of a record that was made here can be read again. Some of what serde can write says less than
    /// reading takes, and nobody would learn of it before the state is needed.
    pub(crate) fn read_back<S: State>(record: &[u8]) -> Result<(), Failure> {
        let refuse = |error: &dyn std::fmt::Display| {
            Failure::reject(format!(
                "the state could not be read again, so it is not stored ({error}); its bytes do not name its fields \
                 and types: do without `skip_serializing_if`, `untagged`, `flatten` and types that hold a value of any \
                 type"
            ))
        };
        let stored = StoredState::read(record).map_err(|error| refuse(&error))?;
        let copy = read_state::<S>(stored.version, stored.bytes).map_err(|error| refuse(&error))?;
        // A panic there tells nothing of the bytes.
        let _ = caught(|| drop(copy));
        Ok(())
    }

    /// The state of a record; the default when there is none.
    pub(crate) fn decode<S: State>(record: Option<&[u8]>) -> Result<(S, StateSummary), StateError> {
        let Some(record) = record else {
            return Ok((S::default(), StateSummary::default()));
        };
        let stored = StoredState::read(record)?;
        stored.check_name(S::NAME)?;
        let state = read_state(stored.version, stored.bytes)?;
        Ok((state, StateSummary { bytes: record.len(), forget: stored.forget }))
    }
}

impl<'a> StoredState<'a> {
    /// Reads the headers; the state itself stays bytes.
    pub(crate) fn read(record: &'a [u8]) -> Result<Self, StateError> {
        match record.first() {
            Some(&LAYOUT_UNNAMED) => {
                let (header, bytes) =
                    postcard::take_from_bytes::<UnnamedRecord<'_>>(record).map_err(StateError::Headers)?;
                let (_, forget, address, version) = header;
                Ok(Self { forget, address, name: None, version, bytes })
            }
            Some(&LAYOUT) => {
                let (header, bytes) =
                    postcard::take_from_bytes::<StateRecord<'_>>(record).map_err(StateError::Headers)?;
                let StateRecord { forget, address, state_name, state_version: version, .. } = header;
                Ok(Self { forget, address, name: Some(state_name), version, bytes })
            }
            other => Err(StateError::Layout(other.copied().unwrap_or_default())),
        }
    }

    /// Whether a build whose actor has the state `schema` can read it. Runs the type's own code, which may panic.
    pub(crate) fn check(&self, schema: &Schema) -> Result<(), StateError> {
        self.check_name(schema.name)?;
        Ok(schema.check(self.version, self.bytes)?)
    }

    fn check_name(&self, known: &'static str) -> Result<(), StateError> {
        match self.name {
            Some(found) if found != known => Err(StateError::Name { found: found.to_owned(), known }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whose state a record is, if it can be read.
pub(crate) fn address_of(record: &[u8]) -> Option<Address> {
    Address::parse(StoredState::read(record).ok()?.address)
}

/// Why a stored state cannot be read. Its mailbox keeps accepting and waits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the record of the state has the unknown layout {0}; nothing is lost: start a build that knows it")]
    Layout(u8),
    #[error("the record of the state cannot be read ({0}); nothing is lost: start the build that wrote it")]
    Headers(postcard::Error),
    #[error(
        "the stored state is a `{found}`, and this build has `{known}`; nothing is lost: start the build that wrote \
         it, or give the state type its name back"
    )]
    Name { found: String, known: &'static str },
    #[error(
        "the stored state cannot be read ({0}); nothing is lost: start the build that wrote it, or one whose state \
         type reads that version"
    )]
    Unreadable(#[from] Unreadable),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::UpgradeError;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, everpost::State)]
    #[state(name = "balance", version = 2, upgrade = from_one)]
    struct Balance {
        cents: i64,
    }

    fn from_one(version: u16, bytes: &[u8]) -> Result<Balance, UpgradeError> {
        let euros: i64 = postcard::from_bytes(bytes).map_err(UpgradeError::new)?;
        if version == 1 { Ok(Balance { cents: euros * 100 }) } else { Err(UpgradeError::new("never written")) }
    }

    /// A state of the name `balance` that was never raised.
    #[derive(Default, Serialize, Deserialize, everpost::State)]
    #[state(name = "balance", version = 1)]
    struct Euros(i64);

    /// `account/a` with 3 euros, as it was written when states had no names.
    const UNNAMED: &[u8] = b"\x01\x00\x09account/a\x01\x06";

    fn named() -> Bytes {
        StateRecord::encode(&Address::new("account", "a"), &Balance { cents: 3 }, true).unwrap()
    }

    fn decode<S: State>(record: &[u8]) -> Result<S, String> {
        StateRecord::decode::<S>(Some(record)).map(|(state, _)| state).map_err(|error| error.to_string())
    }

    #[test]
    fn the_bytes_of_a_state_are_fixed() {
        assert_eq!(named(), b"\x02\x01\x09account/a\x07balance\x02\x06".as_slice());
    }

    #[test]
    fn both_layouts_are_read() {
        let (state, summary) = StateRecord::decode::<Balance>(Some(&named())).unwrap();
        assert_eq!((state, summary.bytes, summary.forget), (Balance { cents: 3 }, named().len(), true));
        let (state, summary) = StateRecord::decode::<Balance>(Some(UNNAMED)).unwrap();
        assert_eq!((state, summary.forget), (Balance { cents: 300 }, false), "version 1, through the upgrade");
        assert_eq!(decode::<Euros>(UNNAMED).unwrap().0, 3);
        assert_eq!(decode::<Balance>(&[]).unwrap_err(), StateError::Layout(0).to_string());
        assert_eq!(StateRecord::decode::<Balance>(None).unwrap().0, Balance::default());
        for record in [UNNAMED, &named()] {
            assert_eq!(address_of(record).unwrap().as_str(), "account/a");
        }
    }

    #[test]
    fn another_name_layout_or_newer_version_is_refused() {
        let error = decode::<i64>(&named()).unwrap_err();
        assert!(error.contains("is a `balance`, and this build has `i64`"), "{error}");
        let error = decode::<Euros>(&named()).err().unwrap();
        assert!(error.contains("`balance` version 2 was written by a newer build"), "{error}");
        let mut record = named().to_vec();
        record[0] = 3;
        assert!(decode::<Balance>(&record).unwrap_err().contains("unknown layout 3"));
        let stored = StoredState::read(UNNAMED).unwrap();
        assert!(stored.check(&Schema::of_state::<Balance>()).is_ok());
        assert!(stored.check(&Schema::of_state::<()>()).is_err(), "a byte is left over");
        let named = named();
        let stored = StoredState::read(&named).unwrap();
        assert!(matches!(stored.check(&Schema::of_state::<i64>()), Err(StateError::Name { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode::<Balance>(&bytes);
        }
    }
}
