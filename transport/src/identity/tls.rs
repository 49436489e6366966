//! What both sides of a handshake demand: TLS 1.3, a certificate from either side, and the protocol's name.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::Identity;
use crate::config::PROTOCOL;

/// Named at every use, never installed for the process: that is for the program to decide.
pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// The TLS alert in a QUIC error code, if it is one.
pub(crate) fn alert(code: quinn::TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    // RFC 9001, section 4.8.
    (0x100..0x200).contains(&code).then_some((code & 0xff) as u8)
}

/// What TLS says of a certificate, in words where it has only names.
pub(crate) fn explained(said: String) -> String {
    // The second, if an authority of the same name signed it.
    if said.ends_with("UnknownIssuer") || said.ends_with("BadSignature") {
        return format!("{said}: the authority of the cluster did not sign it");
    }
    said
}

impl Identity {
    /// How to accept connections.
    pub(crate) fn server(&self) -> Result<QuicServerConfig, String> {
        let provider = Arc::new(provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.authority.clone(), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        let mut server = ServerConfig::builder_with_details(provider, Arc::new(self.clock.clone()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| error.to_string())?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A resumed session would skip the check of the certificate, which may have expired in between.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        QuicServerConfig::try_from(server).map_err(|error| error.to_string())
    }

    /// How to dial.
    pub(crate) fn client(&self) -> Result<QuicClientConfig, String> {
        let mut client = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(self.clock.clone()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.authority.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| error.to_string())?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();
        QuicClientConfig::try_from(client).map_err(|error| error.to_string())
    }
}
