//! The cryptography that TLS uses.

use rustls::crypto::CryptoProvider;

/// Named at every use and never installed as the default of the process: that is for the program to decide.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}
