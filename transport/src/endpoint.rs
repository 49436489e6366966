//! The socket of a node: it listens and dials, and accepts only peers that are configured.

mod accept;
mod reachability;
mod socket;
mod tasks;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use quinn::{AsyncUdpSocket, ConnectError, ConnectionError, Runtime, TransportErrorCode};
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::accept::{Acceptor, GREETING, peer_of};
pub use self::reachability::wrong_family;
use self::tasks::Tasks;
use crate::accept_error::{AcceptError, RejectionReason};
use crate::close::{CloseCode, STOPPING, alert, describe};
use crate::config::Settings;
use crate::connection::Connection;
use crate::error::{BindError, DialError};
use crate::identity::{Identity, Peers};
use crate::text::printable;

/// The socket of a node. It has to be dropped or [closed](Self::close) in the runtime that it was bound in. Connections
/// outlive a dropped endpoint until they are dropped themselves.
///
/// ```no_run
/// use std::path::Path;
/// use std::time::Duration;
///
/// use everpost_transport::{Endpoint, Identity, Settings};
///
/// # async fn example(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::load(Path::new("east.crt"), Path::new("east.key"), Path::new("ca.crt"))?;
/// let endpoint = Endpoint::bind(&settings, &identity, ["west".to_owned()])?;
///
/// let connection = endpoint.dial("west", "192.0.2.2:7400".parse()?, Duration::from_secs(1)).await?;
/// assert_eq!(connection.peer(), "west");
///
/// while let Some(accepted) = endpoint.accept().await {
///     match accepted {
///         Ok(connection) => println!("{} has connected", connection.peer()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Endpoint {
    /// None once it is closed.
    quic: std::sync::Mutex<Option<quinn::Endpoint>>,
    /// Cannot be upgraded any more once nobody uses the port.
    socket: Weak<dyn AsyncUdpSocket>,
    tasks: Tasks,
    local: SocketAddr,
    /// How to dial, with the present certificate.
    client: std::sync::Mutex<quinn::ClientConfig>,
    peers: Arc<Peers>,
    settings: Arc<Settings>,
    accepted: Mutex<mpsc::Receiver<Result<Connection, AcceptError>>>,
    acceptor: AbortHandle,
}

impl Endpoint {
    /// Listens at [`Settings::listen`] as `identity`, for connections from and to `peers`. Needs a tokio runtime with
    /// time and I/O.
    ///
    /// # Errors
    ///
    /// [`BindError`]; nothing was left behind.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub fn bind(
        settings: &Settings,
        identity: &Identity,
        peers: impl IntoIterator<Item = String>,
    ) -> Result<Self, BindError> {
        settings.validate()?;
        let peers = Arc::new(Peers::new(peers).map_err(|name| BindError::PeerName { name })?);
        let (client, server) = certified(settings, identity)?;
        let client = std::sync::Mutex::new(client);
        let connection_ids = identity.clone();
        let mut endpoint = quinn::EndpointConfig::new(identity.reset_key());
        endpoint.cid_generator(move || Box::new(connection_ids.connection_ids()));

        let system = |source| BindError::System { address: settings.listen, source };
        let socket = socket::bind(settings.listen)?;
        let tasks = Tasks::default();
        let socket = tasks.wrap_udp_socket(socket).map_err(system)?;
        let port = Arc::downgrade(&socket);
        let runtime = Arc::new(tasks.clone());
        let quic = quinn::Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime);
        let quic = quic.map_err(system)?;
        let local = quic.local_addr().map_err(system)?;
        let settings = Arc::new(settings.clone());
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        let acceptor = Acceptor::new(quic.clone(), peers.clone(), settings.clone(), sender);
        let acceptor = tokio::spawn(acceptor.run()).abort_handle();
        let (quic, accepted) = (std::sync::Mutex::new(Some(quic)), Mutex::new(accepted));
        Ok(Self { quic, socket: port, tasks, local, client, peers, settings, accepted, acceptor })
    }

    /// Uses another certificate, or authority, for all connections that begin from now on; existing ones are kept. The
    /// keys by which a restarted node is recognised stay those of the identity that the endpoint was bound with.
    ///
    /// # Errors
    ///
    /// [`BindError::Tls`]; the certificate from before stays in use.
    pub fn renew(&self, identity: &Identity) -> Result<(), BindError> {
        let (client, server) = certified(&self.settings, identity)?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        if let Some(quic) = &*self.lock() {
            quic.set_server_config(Some(server));
        }
        Ok(())
    }

    /// Waits for the next connection of a peer, or the next attempt that was not accepted, which needs nothing but a
    /// line in the log. None when the endpoint is closed. Handshakes make progress in the background, many at a time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connection that was not returned is there for the next call.
    pub async fn accept(&self) -> Option<Result<Connection, AcceptError>> {
        self.accepted.lock().await.recv().await
    }

    /// Connects to `peer` at `address`, and waits until that node has accepted this one. Several dials of one address
    /// may run side by side.
    ///
    /// # Errors
    ///
    /// [`DialError`], after `within` at the latest.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a handshake that is dropped leaves no connection behind.
    pub async fn dial(&self, peer: &str, address: SocketAddr, within: Duration) -> Result<Connection, DialError> {
        if !self.peers.contains(peer) {
            return Err(DialError::NotConfigured { peer: peer.to_owned() });
        }
        let quic = self.lock().clone().ok_or(DialError::Stopping)?;
        let unreachable = |why: &str| DialError::Unreachable { address, why: why.to_owned() };
        if let Some(why) = wrong_family(self.local, address) {
            return Err(unreachable(why));
        }
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.transport_config(self.settings.transport(true, within));
        let mut connecting = quic.connect_with(client, address, peer).map_err(|error| match error {
            ConnectError::EndpointStopping => DialError::Stopping,
            error => unreachable(&error.to_string()),
        })?;
        let answered = AtomicBool::new(false);
        let handshake = async {
            // This is the first answer of the peer. Any other outcome shows below, as the error of the connection.
            answered.store(connecting.handshake_data().await.is_ok(), Ordering::Relaxed);
            let quic = connecting.await.map_err(|error| failed(&error, address))?;
            self.greeted(quic, peer, address).await
        };
        let late = |_| {
            let answered = answered.load(Ordering::Relaxed);
            // QUIC does not say when the system sends nothing.
            let refusal = if answered { None } else { reachability::refusal(self.local, address) };
            Err(refusal.map_or(DialError::TimedOut { address, within, answered }, |why| unreachable(&why)))
        };
        timeout(within, handshake).await.unwrap_or_else(late)
    }

    /// Closes all connections with [`CloseCode::Stopping`], and gives the peers up to a second to acknowledge that.
    /// Afterwards the port is free, unless somebody still has a connection. A second call does nothing.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the connections are closed at the first poll, but the port may stay in use for some round trips
    /// more, and a second call does not wait for it.
    pub async fn close(&self) {
        let Some(quic) = self.lock().take() else { return };
        self.acceptor.abort();
        quic.close(CloseCode::Stopping.number(), STOPPING.as_bytes());
        if timeout(CLOSING, quic.wait_idle()).await.is_err() {
            tracing::debug!("closed without waiting for peers that do not answer");
        }
        drop(quic);
        self.tasks.end();
        let freed = async {
            // QUIC's own tasks drop the socket last, and there is nothing else to wait for.
            while self.socket.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(CLOSING, freed).await.is_err() {
            tracing::debug!("a connection that is still in use keeps the port");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<quinn::Endpoint>> {
        self.quic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address that this endpoint listens at; its port is the one that the system chose where the settings say 0.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// In TLS 1.3 the handshake of this side ends before the peer has checked our certificate. Only the greeting says
    /// that it has accepted it.
    async fn greeted(&self, quic: quinn::Connection, peer: &str, address: SocketAddr) -> Result<Connection, DialError> {
        let refused = |reason: RejectionReason| {
            let why = reason.to_string();
            quic.close(CloseCode::Refused.number(), why.as_bytes());
            DialError::Refused { address, why }
        };
        let certified = peer_of(&quic, &self.peers).map_err(refused)?;
        if certified != peer {
            return Err(refused(RejectionReason::NotConfigured { names: vec![certified] }));
        }
        let (send, mut receive) = quic.accept_bi().await.map_err(|error| failed(&error, address))?;
        let mut greeting = [0];
        match receive.read_exact(&mut greeting).await {
            Ok(()) if greeting == [GREETING] => {}
            Err(quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error))) => {
                return Err(failed(&error, address));
            }
            _ => {
                let why = "the peer did not begin with a greeting".to_owned();
                quic.close(CloseCode::Protocol.number(), why.as_bytes());
                return Err(DialError::Lost { address, why });
            }
        }
        Ok(Connection::new(quic, certified, true, (send, receive), &self.settings))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("local", &self.local).field("peers", &self.peers).finish_non_exhaustive()
    }
}

/// The QUIC settings for dialing and for accepting as `identity`.
fn certified(
    settings: &Settings,
    identity: &Identity,
) -> Result<(quinn::ClientConfig, quinn::ServerConfig), BindError> {
    let tls = |why| BindError::Tls { why };
    let client = quinn::ClientConfig::new(Arc::new(identity.client().map_err(tls)?));
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(identity.server().map_err(tls)?));
    server
        .transport_config(settings.transport(false, settings.handshake_timeout))
        // A node does not change its address in the middle of a conversation.
        .migration(false)
        // The acceptor takes first packets at once, so only a flood can exceed this.
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX);
    Ok((client, server))
}

/// Why a dial failed.
fn failed(error: &ConnectionError, address: SocketAddr) -> DialError {
    let why = describe(error);
    match error {
        ConnectionError::LocallyClosed => DialError::Stopping,
        ConnectionError::TransportError(ours) if alert(ours.code).is_some() => DialError::Refused { address, why },
        ConnectionError::ConnectionClosed(theirs) if alert(theirs.error_code).is_some() => {
            DialError::RefusedByPeer { address, why }
        }
        ConnectionError::ConnectionClosed(theirs) if theirs.error_code == TransportErrorCode::CONNECTION_REFUSED => {
            DialError::Lost { address, why: "the node has too many handshakes in progress".to_owned() }
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Refused.number() => {
            DialError::RefusedByPeer { address, why: printable(&close.reason) }
        }
        ConnectionError::ApplicationClosed(close) => DialError::Lost { address, why: printable(&close.reason) },
        _ => DialError::Lost { address, why },
    }
}

/// How many first packets may wait for the acceptor.
const INCOMING_MAX: usize = 256;

/// And what they may take, in bytes.
const INCOMING_BYTES_MAX: u64 = 1 << 20;

/// How many finished handshakes wait for [`Endpoint::accept`] before new ones do.
const ACCEPTED_MAX: usize = 64;

/// How long [`Endpoint::close`] waits.
const CLOSING: Duration = Duration::from_secs(1);
