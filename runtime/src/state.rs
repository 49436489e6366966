//! The record of an actor's state, as the store keeps it; specified in `docs/FORMAT.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::address::Address;
use crate::encode::encode_exactly;
use crate::failure::Failure;

const STATE_VERSION: u8 = 1;

/// The headers of a state. The state follows them.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateRecord<'a> {
    version: u8,
    /// To be dropped once the mailbox is empty.
    forget: bool,
    address: &'a str,
    /// The version of the state's fields; every state has the same one today.
    state_version: u16,
}

/// What a turn needs to know of the record that is in the store, or on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StateSummary {
    pub(crate) bytes: usize,
    pub(crate) forget: bool,
}

impl StateRecord<'_> {
    pub(crate) fn encode<S: Serialize>(address: &Address, state: &S, forget: bool) -> Result<Bytes, Failure> {
        let header = StateRecord { version: STATE_VERSION, forget, address: address.as_str(), state_version: 1 };
        encode_exactly(|record| {
            let record = postcard::to_extend(&header, record)?;
            postcard::to_extend(state, record)
        })
        .map_err(|error| Failure::reject(format!("the state cannot be encoded: {error}")))
    }

    /// The state of a record; the default when there is none.
    pub(crate) fn decode<A: Actor>(record: Option<&[u8]>) -> Result<(A::State, StateSummary), StateError> {
        let Some(record) = record else {
            return Ok((A::State::default(), StateSummary::default()));
        };
        if record.first() != Some(&STATE_VERSION) {
            return Err(StateError::Version(record.first().copied().unwrap_or_default().into()));
        }
        let (header, state) = postcard::take_from_bytes::<StateRecord<'_>>(record).map_err(StateError::Malformed)?;
        if header.state_version != 1 {
            return Err(StateError::Version(header.state_version));
        }
        let state = postcard::from_bytes(state).map_err(StateError::Malformed)?;
        Ok((state, StateSummary { bytes: record.len(), forget: header.forget }))
    }
}

/// Whose state a record is, if it can be read.
pub(crate) fn address_of(record: &[u8]) -> Option<Address> {
    if record.first() != Some(&STATE_VERSION) {
        return None;
    }
    let (header, _) = postcard::take_from_bytes::<StateRecord<'_>>(record).ok()?;
    Address::parse(header.address)
}

/// Why a stored state cannot be read. Its mailbox keeps accepting and waits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the stored state has the unknown version {0}; nothing is lost: start a build that knows it")]
    Version(u16),
    #[error(
        "the stored state cannot be read ({0}); nothing is lost: start the build that wrote it, or give the state type back the fields it had"
    )]
    Malformed(postcard::Error),
}
