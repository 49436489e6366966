//! Addresses: the only kind of reference between actors. An address is a name, resolved at each send, so it never goes
//! stale over a restart or a move. This file must stay free of anything that lives in one process only.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

use everpost_persistence::{MailboxId, Partition};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::message::refusal::Refusal;

/// The longest address in bytes, type, slash and key together. A send to a longer one is refused.
pub const ADDRESS_BYTES_MAX: usize = 16 * 1024;

/// Names one actor: its type and its key, written `account/alice`.
///
/// The type has 1 to 64 characters of `a-z`, `0-9`, `_` and `-`; the key is any text, also with slashes, and may be
/// empty. Cheap to clone.
///
/// ```
/// use everpost::Address;
/// let address = Address::new("page", "/index.html");
/// assert_eq!(address.to_string(), "page//index.html");
/// assert_eq!(address.key(), "/index.html");
/// ```
#[derive(Clone)]
pub struct Address {
    text: Arc<str>,
    type_bytes: usize,
    mailbox: MailboxId,
}

impl Address {
    /// The address of the actor `key` of the type `actor_type`.
    #[must_use]
    pub fn new(actor_type: &str, key: &str) -> Self {
        let mut text = String::with_capacity(actor_type.len() + 1 + key.len());
        text.push_str(actor_type);
        text.push('/');
        text.push_str(key);
        Self { mailbox: mailbox_id(&text), type_bytes: actor_type.len(), text: text.into() }
    }

    /// Reads `type/key`; the type ends at the first slash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_hashed(text, mailbox_id(text))
    }

    /// As [`Address::parse`], where the hash is known already.
    pub(crate) fn parse_hashed(text: &str, mailbox: MailboxId) -> Option<Self> {
        let type_bytes = text.find('/').filter(|bytes| *bytes > 0)?;
        Some(Self { text: text.into(), type_bytes, mailbox })
    }

    /// The actor type, `account` in `account/alice`.
    #[must_use]
    pub fn actor_type(&self) -> &str {
        &self.text[..self.type_bytes]
    }

    /// The key, `alice` in `account/alice`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.text[self.type_bytes + 1..]
    }

    /// The whole address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Refuses an address that is too long to be sent to.
    pub(crate) fn check_length(&self) -> Result<(), Refusal> {
        let bytes = self.text.len();
        if bytes > ADDRESS_BYTES_MAX { Err(Refusal::AddressTooLong { bytes }) } else { Ok(()) }
    }

    /// The hash under which the store keeps this address's mailbox.
    #[inline]
    pub(crate) fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// The hash slot that this address falls into.
    pub(crate) fn partition(&self, partitions: NonZeroU16) -> Partition {
        partition_of(self.mailbox, partitions)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.mailbox == other.mailbox
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.mailbox.hash(state);
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no address: it has no slash")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.text)
    }
}

/// Whether `name` may be an actor type.
pub(crate) fn is_actor_type(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// A cryptographic hash, because keys come from outside: two addresses that share an id would share a mailbox.
pub(crate) fn mailbox_id(text: &str) -> MailboxId {
    let hash = blake3::hash(text.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk::<16>().expect("a hash has 32 bytes");
    MailboxId(u128::from_be_bytes(*first))
}

/// The partition of a mailbox.
pub(crate) fn partition_of(mailbox: MailboxId, partitions: NonZeroU16) -> Partition {
    let slot = mailbox.0 % u128::from(partitions.get());
    Partition(u16::try_from(slot).expect("the remainder is below a u16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_splits_at_the_first_slash() {
        let address = Address::parse("page//a/b").unwrap();
        assert_eq!((address.actor_type(), address.key()), ("page", "/a/b"));
        assert_eq!(address, Address::new("page", "/a/b"));
        assert!(Address::parse("nothing").is_none());
        assert!(Address::parse("/x").is_none());
    }

    #[test]
    fn the_hash_of_an_address_is_part_of_the_format() {
        assert_eq!(Address::new("account", "alice").mailbox().0, 0xc98fed79d2dc7e7dc1bf2ef7232985e3);
    }
}
