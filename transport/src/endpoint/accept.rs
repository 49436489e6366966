//! Accepts connections, many handshakes at a time: one that is slow or hostile delays no other, and an address that
//! begins many and completes none takes up its own share only.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::timeout;

use crate::accept_error::{AcceptError, RejectionReason};
use crate::close::CloseCode;
use crate::config::Settings;
use crate::connection::Connection;
use crate::identity::Peers;
use crate::policy::{Admission, AdmissionId};

/// What the accepting side says first, on the control stream that it opens: the dialer is accepted.
pub(super) const GREETING: u8 = 1;

/// The task of an endpoint that accepts.
pub(super) struct Acceptor {
    quic: quinn::Endpoint,
    peers: Arc<Peers>,
    settings: Arc<Settings>,
    accepted: mpsc::Sender<Result<Connection, AcceptError>>,
    handshakes: JoinSet<Result<Connection, AcceptError>>,
    admission: Admission<IpAddr>,
    admitted: HashMap<AdmissionId, (AbortHandle, SocketAddr)>,
    ids: HashMap<Id, AdmissionId>,
}

impl Acceptor {
    pub(super) fn new(
        quic: quinn::Endpoint,
        peers: Arc<Peers>,
        settings: Arc<Settings>,
        accepted: mpsc::Sender<Result<Connection, AcceptError>>,
    ) -> Self {
        Self {
            quic,
            peers,
            settings,
            accepted,
            handshakes: JoinSet::new(),
            admission: Admission::new(HANDSHAKES_EACH_MAX, HANDSHAKES_MAX),
            admitted: HashMap::new(),
            ids: HashMap::new(),
        }
    }

    /// Until the endpoint is closed or dropped.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                incoming = self.quic.accept() => match incoming {
                    Some(incoming) => self.begin(incoming),
                    None => return,
                },
                Some(done) = self.handshakes.join_next_with_id() => {
                    let (id, outcome) = match done {
                        Ok((id, outcome)) => (id, Some(outcome)),
                        Err(error) => (error.id(), self.failed_handshake(&error)),
                    };
                    if let Some(id) = self.ids.remove(&id) {
                        self.admitted.remove(&id);
                        self.admission.release(id);
                    }
                    if let Some(outcome) = outcome
                        && self.accepted.send(outcome).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    }

    /// What is reported of a handshake whose task was aborted or has panicked.
    fn failed_handshake(&self, error: &JoinError) -> Option<Result<Connection, AcceptError>> {
        let (_, remote) = self.admitted.get(self.ids.get(&error.id())?)?;
        let reason = if error.is_cancelled() { RejectionReason::Evicted } else { RejectionReason::Panicked };
        Some(Err(AcceptError { remote: *remote, reason }))
    }

    fn begin(&mut self, incoming: Incoming) {
        let remote = incoming.remote_address();
        if self.admission.requires_validation(&remote.ip()) && !incoming.remote_address_validated() {
            // Many at once, perhaps with forged addresses: only those go on that answer at their address, which costs
            // them a round trip and this side no memory.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        } else {
            let is_known = self.settings.known.contains(&remote.ip());
            let (id, evicted) = self.admission.admit(remote.ip(), is_known);
            if let Some((handshake, _)) = evicted.and_then(|evicted| self.admitted.get(&evicted)) {
                handshake.abort();
            }
            let handshake = self.handshakes.spawn(handshake(incoming, self.peers.clone(), self.settings.clone()));
            self.ids.insert(handshake.id(), id);
            self.admitted.insert(id, (handshake, remote));
        }
    }
}

/// Which peer the other side of a connection is.
pub(super) fn peer_of(quic: &quinn::Connection, peers: &Peers) -> Result<String, RejectionReason> {
    let chain = quic.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = chain.as_ref().and_then(|chain| chain.first()).ok_or(RejectionReason::NoCertificate)?;
    peers.find(certificate).map(str::to_owned)
}

async fn handshake(incoming: Incoming, peers: Arc<Peers>, settings: Arc<Settings>) -> Result<Connection, AcceptError> {
    let remote = incoming.remote_address();
    let steps = async {
        let lost = |error| RejectionReason::new(&error);
        let quic = incoming.accept().map_err(lost)?.await.map_err(lost)?;
        let peer = peer_of(&quic, &peers).inspect_err(|reason| {
            quic.close(CloseCode::Refused.number(), reason.to_string().as_bytes());
        })?;
        let (mut send, receive) = quic.open_bi().await.map_err(lost)?;
        send.write_all(&[GREETING]).await.map_err(|error| RejectionReason::Lost(error.to_string()))?;
        Ok(Connection::new(quic, peer, false, (send, receive), &settings))
    };
    let outcome = timeout(settings.handshake_timeout, steps).await.unwrap_or(Err(RejectionReason::TimedOut));
    outcome.map_err(|reason| AcceptError { remote, reason })
}

/// How many handshakes there may be at a time with addresses that are not those of a peer.
const HANDSHAKES_MAX: usize = 64;

/// How many with one address, whosever it is.
const HANDSHAKES_EACH_MAX: usize = 16;
