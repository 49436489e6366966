//! Accepts connections, many handshakes at a time: one that is slow or hostile holds up no other, and whoever begins many and ends
//! none takes its own places only.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::timeout;

use crate::close::CloseCode;
use crate::config::Settings;
use crate::connection::Connection;
use crate::identity::Peers;
use crate::policy::Newcomers;
use crate::rejection::{Intrusion, IntrusionReason};

/// What the accepting side says first, on the control stream that it opens: the dialer is accepted.
pub(super) const GREETING: u8 = 1;

/// The task of an endpoint that accepts.
pub(super) struct Acceptor {
    quic: quinn::Endpoint,
    peers: Arc<Peers>,
    settings: Arc<Settings>,
    accepted: mpsc::Sender<Result<Connection, Intrusion>>,
    handshakes: JoinSet<Result<Connection, Intrusion>>,
    /// By the numbers of those who have begun.
    begun: HashMap<u64, (AbortHandle, SocketAddr)>,
    numbers: HashMap<Id, u64>,
    newcomers: Newcomers<IpAddr>,
}

impl Acceptor {
    pub(super) fn new(
        quic: quinn::Endpoint,
        peers: Arc<Peers>,
        settings: Arc<Settings>,
        accepted: mpsc::Sender<Result<Connection, Intrusion>>,
    ) -> Self {
        Self {
            quic,
            peers,
            settings,
            accepted,
            handshakes: JoinSet::new(),
            begun: HashMap::new(),
            numbers: HashMap::new(),
            newcomers: Newcomers::new(HANDSHAKES_EACH_MAX, HANDSHAKES_MAX),
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
                        Err(error) => (error.id(), self.not_ended(&error)),
                    };
                    if let Some(number) = self.numbers.remove(&id) {
                        self.begun.remove(&number);
                        self.newcomers.end(number);
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

    /// What is said of a handshake whose task has not come to its end.
    fn not_ended(&self, error: &JoinError) -> Option<Result<Connection, Intrusion>> {
        let number = self.numbers.get(&error.id())?;
        let (_, remote) = self.begun.get(number)?;
        let reason = if error.is_cancelled() { IntrusionReason::GaveWay } else { IntrusionReason::Defect };
        Some(Err(Intrusion { remote: *remote, reason }))
    }

    fn begin(&mut self, incoming: Incoming) {
        let remote = incoming.remote_address();
        if self.newcomers.are_many(&remote.ip()) && !incoming.remote_address_validated() {
            // Many at once, perhaps under false addresses: only those go on that answer at their address, which costs them
            // a round trip and this side no memory.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        } else {
            let is_known = self.settings.known.contains(&remote.ip());
            let (number, gives_way) = self.newcomers.begin(remote.ip(), is_known);
            if let Some((handshake, _)) = gives_way.and_then(|number| self.begun.get(&number)) {
                handshake.abort();
            }
            let handshake = self.handshakes.spawn(handshake(incoming, self.peers.clone(), self.settings.clone()));
            self.numbers.insert(handshake.id(), number);
            self.begun.insert(number, (handshake, remote));
        }
    }
}

/// Which peer the other side of a connection is.
pub(super) fn peer_of(quic: &quinn::Connection, peers: &Peers) -> Result<String, IntrusionReason> {
    let chain = quic.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = chain.as_ref().and_then(|chain| chain.first()).ok_or(IntrusionReason::NoCertificate)?;
    peers.find(certificate).map(str::to_owned)
}

async fn handshake(incoming: Incoming, peers: Arc<Peers>, settings: Arc<Settings>) -> Result<Connection, Intrusion> {
    let remote = incoming.remote_address();
    let steps = async {
        let lost = |error| IntrusionReason::new(&error);
        let quic = incoming.accept().map_err(lost)?.await.map_err(lost)?;
        let peer = peer_of(&quic, &peers).inspect_err(|reason| {
            quic.close(CloseCode::Refused.number(), reason.to_string().as_bytes());
        })?;
        let (mut send, receive) = quic.open_bi().await.map_err(lost)?;
        send.write_all(&[GREETING]).await.map_err(|error| IntrusionReason::Lost(error.to_string()))?;
        Ok(Connection::new(quic, peer, false, (send, receive), &settings))
    };
    let outcome = timeout(settings.handshake_timeout, steps).await.unwrap_or(Err(IntrusionReason::TimedOut));
    outcome.map_err(|reason| Intrusion { remote, reason })
}

/// How many handshakes there may be at a time with those who do not come from where a peer is.
const HANDSHAKES_MAX: usize = 64;

/// How many of one address, a peer's or a stranger's.
const HANDSHAKES_EACH_MAX: usize = 16;
