//! What both sides of a handshake demand: TLS 1.3, a certificate from either side, and the protocol's name.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::credentials::Identity;
use super::provider::provider;
use crate::config::PROTOCOL;

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
