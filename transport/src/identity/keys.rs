//! Keys that stay the same over restarts of a node, without another secret to keep.
//!
//! A peer that goes on with a connection of a process that is gone reaches the next process at the same address. That
//! one knows nothing of the connection, but with the same keys it can prove that it is the same node and that the
//! connection is over (a stateless reset of QUIC), so the peer need not wait for its idle timeout.

use std::sync::Arc;

use quinn::crypto::HmacKey;
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use rustls::pki_types::PrivateKeyDer;

use super::credentials::Identity;

impl Identity {
    /// What proves that a connection is over.
    pub(crate) fn reset_key(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, derive(&self.key, b"everpost/1 stateless reset").as_ref()))
    }

    /// Marks connection ids as ours, so that only packets to them are answered.
    pub(crate) fn connection_ids(&self) -> HashedConnectionIdGenerator {
        let derived = derive(&self.key, b"everpost/1 connection ids");
        let (first, _) = derived.as_ref().split_first_chunk().expect("SHA-256 has 32 bytes");
        HashedConnectionIdGenerator::from_key(u64::from_be_bytes(*first))
    }
}

/// A key of its own for each purpose, from which the private key cannot be found.
fn derive(private: &PrivateKeyDer<'_>, purpose: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, private.secret_der()), purpose)
}
