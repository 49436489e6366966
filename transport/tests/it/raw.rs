//! A QUIC client that is not ours and does what it wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::RootCertStore;

use crate::certificates::{Authority, Signed, Validity};
use crate::harness::within;

/// A client that trusts `authority`, shows `signed` if there is one, and speaks `protocols`.
pub(crate) fn client(authority: &Authority, signed: Option<&Signed>, protocols: &[&[u8]]) -> Endpoint {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match signed {
        Some(signed) => tls.with_client_auth_cert(vec![signed.der.clone()], signed.key_der.clone_key()).unwrap(),
        None => tls.with_no_client_auth(),
    };
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// Connects to `east` and waits for what becomes of it: TLS alone is content before the other side has decided.
pub(crate) async fn connect(client: &Endpoint, address: SocketAddr) -> Result<Accepted, ConnectionError> {
    let connecting = client.connect(address, "east").unwrap();
    let connection = within("a raw handshake", connecting).await?;
    let (send, mut receive) = within("a greeting", connection.accept_bi()).await?;
    let mut greeting = [0];
    receive.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [1]);
    Ok(Accepted { connection, send, receive })
}

/// Lets a raw client in as `other`; with the connection at its end and at that of `east`.
pub(crate) async fn let_in(
    authority: &Authority,
    east: &everpost_transport::Endpoint,
) -> (Endpoint, Accepted, everpost_transport::Connection) {
    let signed = authority.sign(&["other"], Validity::Now);
    let client = client(authority, Some(&signed), &[b"everpost/1"]);
    let (raw, accepted) = tokio::join!(connect(&client, east.local_address()), east.accept());
    (client, raw.unwrap(), accepted.unwrap().unwrap())
}

/// A raw connection that was let in.
pub(crate) struct Accepted {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) receive: RecvStream,
}
