//! Messages: what may be sent, and the ids by which a message counts once.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::clock::Micros;
use crate::message::fingerprint::Fingerprint;

/// A value that can be sent to an actor. Derive it:
///
/// ```
/// use everpost::Message;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(name = "deposit", version = 1, reply = i64)]
/// struct Deposit {
///     cents: i64,
/// }
/// assert_eq!(Deposit::NAME, "deposit");
/// ```
///
/// A message may wait in the store for long, and over new builds of the program: its name is what finds the handler,
/// and its version what finds the reader of its bytes. Bytes that no handler knows become a dead letter, never nothing.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name stored with every message of this type. Never change it.
    const NAME: &'static str;
    /// The version of the fields. Raise it when they change, and read the older ones in [`Message::upgrade_from`].
    const VERSION: u16;
    /// What the handler answers; `()` when there is nothing to say.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Reads bytes that an older version of this type wrote. Bytes of a newer one are never read.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`] when that version is unknown; the message becomes a dead letter.
    fn upgrade_from(version: u16, bytes: &[u8]) -> Result<Self, UpgradeError> {
        let _ = bytes;
        Err(UpgradeError::new(format!("no upgrade from version {version} of `{}`", Self::NAME)))
    }

    /// What tells this message from others that are sent to its destination under the same idempotency key
    /// ([`SendBuilder::idempotency_key`](crate::SendBuilder::idempotency_key)): by default all of it, whatever the
    /// order of its maps. The name of its type always counts. An older version is upgraded before it is compared.
    ///
    /// Derived, `#[message(same_by = "id, amount")]` counts these fields alone, `same_by = "name"` nothing but the
    /// name, and `#[message(unordered)]` on a field its elements in any order (see [`unordered`](crate::unordered) for
    /// fields further inside):
    ///
    /// ```
    /// # use everpost::Message;
    /// # use serde::{Deserialize, Serialize};
    /// # use std::collections::HashSet;
    /// #[derive(Serialize, Deserialize, Message)]
    /// #[message(same_by = "order, tags")]
    /// struct Charge {
    ///     order: u64,
    ///     #[message(unordered)]
    ///     tags: HashSet<String>,
    ///     /// Another one on each repetition.
    ///     asked_at: u64,
    /// }
    /// ```
    fn fingerprint(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self);
    }
}

/// Stored bytes could not be read as the present version of their type.
#[derive(thiserror::Error)]
#[error("{reason}")]
pub struct UpgradeError {
    reason: String,
}

impl UpgradeError {
    /// An error with a reason for people.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// The identity of a message: 128 random bits for one that comes from outside, derived for one that a turn sends, so
/// that a turn that runs again sends the same messages again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub(crate) u128);

impl MessageId {
    /// A new identity for a message that comes from outside.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// The identity of the `index`-th message that the turn of this one sends. Each kind of thing that a turn does is
    /// counted by itself: a send more or less before an ask does not make that another ask.
    pub(crate) fn sent(self, index: u32) -> Self {
        self.nth(1, index)
    }

    /// The identity of its `index`-th ask.
    pub(crate) fn ask(self, index: u32) -> Self {
        self.nth(2, index)
    }

    /// The identity of the `index`-th timer that it sets.
    pub(crate) fn timer(self, index: u32) -> Self {
        self.nth(3, index)
    }

    /// One short hash, since each send of a turn takes one.
    fn nth(self, kind: u8, index: u32) -> Self {
        let mut input = [0; 21];
        input[..16].copy_from_slice(&self.0.to_be_bytes());
        input[16..20].copy_from_slice(&index.to_be_bytes());
        input[20] = kind;
        Self(first_half(&blake3::hash(&input)))
    }

    /// The identity that a build of before derived for whatever a turn did, all of it counted together.
    pub(crate) fn derive(self, index: u32) -> Self {
        let mut input = [0; 20];
        input[..16].copy_from_slice(&self.0.to_be_bytes());
        input[16..].copy_from_slice(&index.to_be_bytes());
        Self(first_half(&blake3::hash(&input)))
    }

    /// The identity of the message that a timer sends for the tick that is due then.
    pub(crate) fn of_tick(timer: Self, due: Micros) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 message of a tick");
        hasher.update(&timer.0.to_be_bytes());
        hasher.update(&due.0.to_be_bytes());
        Self(first_half(&hasher.finalize()))
    }

    /// A key for a call to the outside world: the same on every attempt, another for another label.
    pub(crate) fn idempotency_key(self, label: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 idempotency key of a turn");
        hasher.update(&self.0.to_be_bytes());
        hasher.update(label.as_bytes());
        format!("{:032x}", first_half(&hasher.finalize()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

pub(crate) fn first_half(hash: &blake3::Hash) -> u128 {
    let (first, _) = hash.as_bytes().split_first_chunk::<16>().expect("a hash has 32 bytes");
    u128::from_be_bytes(*first)
}

crate::base::error_text::debug_as_text!(UpgradeError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_repeat_and_differ() {
        let id = MessageId(7);
        let all = [0, 1].map(|index| [id.sent(index), id.ask(index), id.timer(index), id.derive(index)]);
        let all = all.as_flattened();
        assert!(all.iter().enumerate().all(|(place, one)| !all[..place].contains(one)), "{all:?}");
        assert_ne!(id.sent(0), MessageId(8).sent(0));
        assert_eq!(id.idempotency_key("charge"), id.idempotency_key("charge"));
        assert_ne!(id.idempotency_key("charge"), id.idempotency_key("refund"));
    }

    #[test]
    fn derived_ids_are_part_of_the_format() {
        let id = MessageId(7);
        assert_eq!(id.sent(1).to_string(), "3e78615aa7e850b1211a51c7e61187ba");
        assert_eq!(id.ask(1).to_string(), "60bf20defa601b159192e57ab25a4b6f");
        assert_eq!(id.timer(1).to_string(), "9f0be242d51cbda8abcbd116d89b4c3b");
        assert_eq!(
            id.derive(1).to_string(),
            "418c8a7e40c036badce7889bfc49b340",
            "of turns that have asked under an older build"
        );
    }

    #[test]
    fn the_id_of_a_tick_is_of_its_timer_and_its_moment() {
        let id = |timer, due| MessageId::of_tick(MessageId(timer), Micros(due));
        assert_eq!(id(1, 2).to_string(), "b980d7d0c086141ee87802de810f3d49", "part of the format");
        assert_ne!(id(1, 2), id(1, 3));
        assert_ne!(id(1, 2), id(2, 2));
    }
}
