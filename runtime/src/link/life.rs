//! The life of one link: get a connection, converse until it ends, and start over.

use std::sync::Arc;
use std::time::Duration;

use everpost_transport::{Backoff, CloseCode, Closed, DialError};

use super::conversation::converse;
use super::introduction::{Introduced, introduce_in_time};
use super::{Ended, Links};
use crate::cluster::Peer;
use crate::gate::NodeEnded;

/// After how long a peer that should have dialed is said to be away, and looked for again.
const AWAY_AFTER: Duration = Duration::from_secs(10);

/// Keeps the link to a peer for as long as the node runs.
pub(super) async fn live(links: &Links, peer: &Arc<Peer>) {
    if peer.is_dialed {
        dial_and_converse(links, peer).await;
    } else {
        wait_and_converse(links, peer).await;
    }
}

/// The peer dials: waits for it. A newer connection ends the one before, once its peer was believed.
async fn wait_and_converse(links: &Links, peer: &Arc<Peer>) {
    while let Some(introduced) = arrival(links, peer).await {
        let over = async {
            tokio::select! {
                () = links.core.links_stopped() => Ended::Node(NodeEnded::Stopped),
                () = peer.has_arrived() => Ended::Superseded,
            }
        };
        let ended = converse(links, introduced, over).await;
        peer.troubles().ended(&links.core.name, &peer.name, &ended);
    }
}

/// The newest connection of the peer; none when the node stops.
async fn arrival(links: &Links, peer: &Peer) -> Option<Introduced> {
    loop {
        tokio::select! {
            () = links.core.links_stopped() => return None,
            () = peer.has_arrived() => return peer.take_arrival(),
            () = tokio::time::sleep(AWAY_AFTER) => {
                peer.troubles().down(&links.core.name, &peer.name, &"it has not made a connection; of two nodes the one with the smaller name dials");
            }
        }
    }
}

/// Dials all addresses in turn until one answers, with a growing random wait between the rounds.
async fn dial_and_converse(links: &Links, peer: &Arc<Peer>) {
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
                    cannot_dial(links, peer, &trouble);
                    None
                }
            },
        };
        if let Some(ended) = ended {
            peer.troubles().ended(&links.core.name, &peer.name, &ended);
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

fn cannot_dial(links: &Links, peer: &Peer, trouble: &Trouble) {
    let (node, peer_name) = (&links.core.name, &peer.name);
    match trouble {
        Trouble::Dial(error) => peer.troubles().not_reached(node, peer_name, error),
        Trouble::Introduction(ended) => peer.troubles().ended(node, peer_name, ended),
        Trouble::NoAddress => {}
    }
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
