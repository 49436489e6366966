//! The cryptography that TLS uses.

use rustls::crypto::CryptoProvider;

/// Named at every use, never installed for the process: that is for the program to decide.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}
