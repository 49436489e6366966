//! Idempotency keys as the rest of the node names them: requests.

use everpost_persistence::{Key, MailboxId, Partition};

use crate::message::address::Address;
use crate::message::first_half;
use crate::tables;

/// Names what is sent to one address under one idempotency key. Keys of two addresses never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestId(pub(crate) u128);

impl RequestId {
    pub(crate) fn new(address: &Address, key: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 request of an idempotency key");
        hasher.update(&address.mailbox().0.to_be_bytes());
        hasher.update(key.as_bytes());
        Self(first_half(&hasher.finalize()))
    }
}

/// Where the store keeps what came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestKey {
    pub(crate) partition: Partition,
    pub(crate) mailbox: MailboxId,
    pub(crate) request: RequestId,
}

impl From<RequestKey> for Key {
    fn from(key: RequestKey) -> Self {
        let RequestKey { partition, mailbox, request } = key;
        tables::request(partition, mailbox, request.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_addresses_never_meet() {
        let id = |address: &str, key| RequestId::new(&Address::parse(address).unwrap(), key);
        assert_eq!(id("account/alice", "order-42"), id("account/alice", "order-42"));
        assert_ne!(id("account/alice", "order-42"), id("account/bob", "order-42"));
        assert_ne!(id("account/alice", "order-42"), id("account/alice", "order-43"));
        assert_ne!(id("account/alice", "-order-42"), id("account/alice-", "order-42"));
    }
}
