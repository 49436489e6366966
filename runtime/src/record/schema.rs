//! Names and versions of what is stored: how bytes of any version become the present type. One rule for messages,
//! queries and states.

use serde::de::DeserializeOwned;

use crate::message::decode::{DecodeError, decode};
use crate::message::fingerprint::Fingerprint;
use crate::message::{Message, UpgradeError};
use crate::record::state::State;

/// Reads a message that was stored with this version.
pub(crate) fn read_message<M: Message>(version: u16, bytes: &[u8]) -> Result<M, Unreadable> {
    read(M::NAME, M::VERSION, version, bytes, M::upgrade_from)
}

/// Reads a state that was stored with this version.
pub(crate) fn read_state<S: State>(version: u16, bytes: &[u8]) -> Result<S, Unreadable> {
    read(S::NAME, S::VERSION, version, bytes, S::upgrade_from)
}

fn read<T: DeserializeOwned>(
    name: &'static str,
    known: u16,
    version: u16,
    bytes: &[u8],
    upgrade_from: fn(u16, &[u8]) -> Result<T, UpgradeError>,
) -> Result<T, Unreadable> {
    if version < known {
        return Ok(upgrade_from(version, bytes)?);
    }
    if version > known {
        return Err(Unreadable::Newer { name, version, known });
    }
    decode(bytes).map_err(|error| Unreadable::Malformed { name, version, error })
}

/// Why this build cannot read stored bytes. They will not get better, but another build may read them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the bytes of `{name}` version {version} cannot be read: {error}")]
    Malformed { name: &'static str, version: u16, error: DecodeError },
    #[error("`{name}` version {version} was written by a newer build; this one knows it up to version {known}")]
    Newer { name: &'static str, version: u16, known: u16 },
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
}

/// A type of message or state without its Rust type: what an upgrade check needs of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) version: u16,
    read: fn(u16, &[u8]) -> Result<(), Unreadable>,
    /// Of a message.
    fingerprint: fn(u16, &[u8]) -> Option<[u8; 16]>,
}

impl Schema {
    pub(crate) fn of_message<M: Message>() -> Self {
        let read = |version, bytes: &[u8]| read_message::<M>(version, bytes).map(drop);
        let fingerprint = |version, bytes: &[u8]| Fingerprint::of(&read_message::<M>(version, bytes).ok()?);
        Self { name: M::NAME, version: M::VERSION, read, fingerprint }
    }

    pub(crate) fn of_state<S: State>() -> Self {
        let read = |version, bytes: &[u8]| read_state::<S>(version, bytes).map(drop);
        Self { name: S::NAME, version: S::VERSION, read, fingerprint: |_, _| None }
    }

    /// What tells a message that was stored with this version from others under its idempotency key, as the present
    /// version of its type sees it. None when it cannot be read. Runs the type's own code, which may panic.
    pub(crate) fn fingerprint(&self, version: u16, bytes: &[u8]) -> Option<[u8; 16]> {
        (self.fingerprint)(version, bytes)
    }

    /// Whether bytes that were stored with this version can be read. Runs the type's own code on them, which may panic.
    pub(crate) fn check(&self, version: u16, bytes: &[u8]) -> Result<(), Unreadable> {
        (self.read)(version, bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, everpost::Message)]
    #[message(name = "pay", version = 2, upgrade = from_one)]
    struct Pay {
        cents: u64,
    }

    fn from_one(version: u16, bytes: &[u8]) -> Result<Pay, UpgradeError> {
        let euros: u64 = postcard::from_bytes(bytes).map_err(UpgradeError::new)?;
        if version == 1 { Ok(Pay { cents: euros * 100 }) } else { Err(UpgradeError::new("never written")) }
    }

    fn check(version: u16, bytes: &[u8], expected: Result<u64, &str>) {
        let found = read_message::<Pay>(version, bytes).map(|pay| pay.cents).map_err(|error| error.to_string());
        match (&found, expected) {
            (Ok(cents), Ok(expected)) => assert_eq!(*cents, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            _ => panic!("{found:?}, not {expected:?}"),
        }
        assert_eq!(Schema::of_message::<Pay>().check(version, bytes).is_ok(), expected.is_ok());
    }

    #[test]
    fn each_version_has_its_way_or_its_error() {
        check(2, &[7], Ok(7));
        check(1, &[7], Ok(700));
        check(0, &[7], Err("never written"));
        check(1, &[], Err("Hit the end of buffer"));
        check(2, &[], Err("`pay` version 2 cannot be read"));
        check(2, &[7, 8, 9], Err("2 of them belong to no field"));
        check(3, &[7], Err("`pay` version 3 was written by a newer build; this one knows it up to version 2"));
    }
}
