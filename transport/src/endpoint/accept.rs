//! Accepts connections, many handshakes at a time: one that is slow or hostile holds up no other.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use quinn::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Intrusion, IntrusionReason};
use crate::config::Settings;
use crate::connection::{CloseCode, Connection};
use crate::identity::Peers;

/// What the accepting side says first, on the control stream that it opens: the dialer is accepted.
pub(super) const GREETING: u8 = 1;

/// The task of an endpoint that accepts.
pub(super) struct Acceptor {
    quic: quinn::Endpoint,
    peers: Arc<Peers>,
    settings: Arc<Settings>,
    accepted: mpsc::Sender<Result<Connection, Intrusion>>,
    handshakes: JoinSet<Result<Connection, Intrusion>>,
}

impl Acceptor {
    pub(super) fn new(
        quic: quinn::Endpoint,
        peers: Arc<Peers>,
        settings: Arc<Settings>,
        accepted: mpsc::Sender<Result<Connection, Intrusion>>,
    ) -> Self {
        Self { quic, peers, settings, accepted, handshakes: JoinSet::new() }
    }

    /// Until the endpoint is closed or dropped.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                incoming = self.quic.accept() => match incoming {
                    Some(incoming) => self.begin(incoming),
                    None => return,
                },
                Some(Ok(outcome)) = self.handshakes.join_next() => {
                    if self.accepted.send(outcome).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn begin(&mut self, incoming: Incoming) {
        if self.handshakes.len() >= HANDSHAKES_MAX {
            incoming.refuse();
        } else if self.handshakes.len() >= HANDSHAKES_UNPROVEN_MAX && !incoming.remote_address_validated() {
            // Many at once, perhaps under false addresses: only those go on that answer at their address, which costs them
            // a round trip and this side no memory.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        } else {
            let remote = incoming.remote_address();
            let handshake = handshake(incoming, self.peers.clone(), self.settings.clone());
            self.handshakes.spawn(async move {
                caught(handshake).await.unwrap_or(Err(Intrusion { remote, reason: IntrusionReason::Defect }))
            });
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

/// None when it panics: it must not take the others with it.
async fn caught<T>(handshake: impl Future<Output = T>) -> Option<T> {
    let mut handshake = pin!(handshake);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| handshake.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// How many handshakes there may be at a time.
const HANDSHAKES_MAX: usize = 64;

/// From how many on an address must prove itself first.
const HANDSHAKES_UNPROVEN_MAX: usize = 32;
