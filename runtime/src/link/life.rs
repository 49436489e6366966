//! The life of one link: get a connection, converse until it ends, and start over.

use std::sync::Arc;

use everpost_transport::{Backoff, CloseCode, Closed, DialError};

use super::conversation::converse;
use super::introduction::{Introduced, introduce_in_time};
use super::{Ended, Links};
use crate::cluster::Peer;
use crate::core::ArrivalError;
use crate::gate::NodeEnded;

/// Keeps the link to a peer for as long as the node runs.
pub(super) async fn live(links: &Links, peer: &Arc<Peer>) {
    let mut troubles = Troubles { links, peer, last: String::new() };
    if peer.is_dialed {
        dial_and_converse(links, peer, &mut troubles).await;
    } else {
        wait_and_converse(links, peer, &mut troubles).await;
    }
}

/// The peer dials: waits for it. A newer connection ends the one before, once its peer was believed.
async fn wait_and_converse(links: &Links, peer: &Arc<Peer>, troubles: &mut Troubles<'_>) {
    while let Some(introduced) = arrival(links, peer).await {
        let over = async {
            tokio::select! {
                () = links.core.links_stopped() => Ended::Node(NodeEnded::Stopped),
                () = peer.has_arrived() => Ended::Superseded,
            }
        };
        troubles.ended(&converse(links, introduced, over).await);
    }
}

/// The newest connection of the peer; none when the node stops.
async fn arrival(links: &Links, peer: &Peer) -> Option<Introduced> {
    tokio::select! {
        () = links.core.links_stopped() => None,
        () = peer.has_arrived() => peer.take_arrival(),
    }
}

/// Dials all addresses in turn until one answers, with a growing random wait between the rounds.
async fn dial_and_converse(links: &Links, peer: &Arc<Peer>, troubles: &mut Troubles<'_>) {
    let mut backoff = Backoff::new(links.config.reconnect_first, links.config.reconnect_cap);
    loop {
        let ended = tokio::select! {
            () = links.core.links_stopped() => return,
            dialed = dial(links, peer) => match dialed {
                Ok(introduced) => {
                    let over = async {
                        links.core.links_stopped().await;
                        Ended::Node(NodeEnded::Stopped)
                    };
                    Some(converse(links, introduced, over).await)
                }
                Err(trouble) => {
                    troubles.cannot_dial(&trouble);
                    None
                }
            },
        };
        if let Some(ended) = ended {
            troubles.ended(&ended);
            if ended.is_passing() {
                backoff.succeeded();
            }
        }
        tokio::select! {
            () = links.core.links_stopped() => return,
            () = tokio::time::sleep(backoff.failed(rand::random())) => {}
        }
    }
}

/// Why no address of a peer answered as it should.
enum Trouble {
    Dial(DialError),
    Introduction(Ended),
    NoAddress,
}

async fn dial(links: &Links, peer: &Arc<Peer>) -> Result<Introduced, Trouble> {
    let mut trouble = Trouble::NoAddress;
    for address in &peer.addresses {
        match links.endpoint.dial(&peer.name, *address).await {
            Err(error) => trouble = Trouble::Dial(error),
            Ok(connection) => match introduce_in_time(&links.core, peer, connection).await {
                Ok(introduced) => return Ok(introduced),
                Err(error) => trouble = Trouble::Introduction(error),
            },
        }
    }
    Err(trouble)
}

impl Ended {
    /// Whether the next connection may well live longer, so that it is worth trying soon.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Closed(Closed::ByPeer { code, .. }) => !matches!(code, CloseCode::Refused | CloseCode::Protocol),
            Self::Closed(_) | Self::Superseded => true,
            _ => false,
        }
    }
}

/// Says what goes wrong, once, however often it is tried.
struct Troubles<'a> {
    links: &'a Links,
    peer: &'a Peer,
    last: String,
}

impl Troubles<'_> {
    fn ended(&mut self, ended: &Ended) {
        let (node, peer) = (&self.links.core.name, &self.peer.name);
        let is_new = self.is_new(ended.to_string());
        match ended {
            Ended::Closed(Closed::ByPeer { code: CloseCode::Refused, .. }) => self.refused(is_new, ended),
            Ended::Closed(_) | Ended::Superseded | Ended::Node(_) => {
                tracing::info!(%node, %peer, reason = %ended, event = "link down");
            }
            Ended::Outbox(_) | Ended::Arrival(ArrivalError::Store(_)) => {
                tracing::error!(%node, %peer, error = %ended, event = "link failed");
            }
            _ => self.refused(is_new, ended),
        }
    }

    fn cannot_dial(&mut self, trouble: &Trouble) {
        let (node, peer) = (&self.links.core.name, &self.peer.name);
        match trouble {
            Trouble::Dial(
                error @ (DialError::Unreachable { .. } | DialError::TimedOut { .. } | DialError::Lost { .. }),
            ) => {
                if self.is_new(error.to_string()) {
                    tracing::info!(%node, %peer, %error, event = "peer not reached");
                }
            }
            Trouble::Dial(DialError::Stopping) => {}
            Trouble::Dial(error) => {
                if self.is_new(error.to_string()) {
                    tracing::error!(%node, %peer, %error, event = "peer refused");
                }
            }
            Trouble::Introduction(ended) => {
                let ended: &Ended = ended;
                self.ended(ended);
            }
            Trouble::NoAddress => {}
        }
    }

    fn refused(&self, is_new: bool, ended: &Ended) {
        let (node, peer) = (&self.links.core.name, &self.peer.name);
        if is_new {
            tracing::error!(%node, %peer, error = %ended, event = "peer refused");
        } else {
            tracing::debug!(%node, %peer, error = %ended, event = "peer refused");
        }
    }

    fn is_new(&mut self, trouble: String) -> bool {
        let is_new = trouble != self.last;
        self.last = trouble;
        is_new
    }
}
