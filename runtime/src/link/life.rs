//! The life of one link: get a connection, converse until it ends, and start over.

use std::sync::Arc;
use std::time::Duration;

use everpost_transport::{CloseCode, Closed};

use super::Links;
use super::conversation::converse;
use super::dialing::Dialing;
use crate::base::ended::NodeEnded;
use crate::cluster::Peer;
use crate::cluster::ended::Ended;
use crate::cluster::introduced::Introduced;

/// After how long a peer that should have dialed is said to be away, and looked for again.
const AWAY_AFTER: Duration = Duration::from_secs(10);

/// Keeps the link to a peer for as long as the node runs.
pub(super) async fn live(links: &Arc<Links>, peer: &Arc<Peer>) {
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
                () = links.shard.links_stopped() => Ended::Node(NodeEnded::Stopped),
                () = peer.has_arrived() => Ended::Superseded,
            }
        };
        let ended = converse(links, introduced, over).await;
        peer.alarms().ended(&links.shard.name, &peer.name, &ended);
    }
}

/// The newest connection of the peer; none when the node stops.
async fn arrival(links: &Links, peer: &Peer) -> Option<Introduced> {
    loop {
        tokio::select! {
            () = links.shard.links_stopped() => return None,
            () = peer.has_arrived() => return peer.take_arrival(),
            () = tokio::time::sleep(AWAY_AFTER) => {
                peer.alarms().down(&links.shard.name, &peer.name, &"it has not made a connection; of two nodes the one \
                 with the smaller name dials");
            }
        }
    }
}

/// Dials the peer whenever there is no conversation with it.
async fn dial_and_converse(links: &Arc<Links>, peer: &Arc<Peer>) {
    let mut dialing = Dialing::new(links, peer);
    loop {
        let ended = tokio::select! {
            () = links.shard.links_stopped() => return,
            introduced = dialing.reach() => {
                let over = async {
                    links.shard.links_stopped().await;
                    Ended::Node(NodeEnded::Stopped)
                };
                converse(links, introduced, over).await
            }
        };
        peer.alarms().ended(&links.shard.name, &peer.name, &ended);
        tokio::select! {
            () = links.shard.links_stopped() => return,
            () = dialing.pause(&ended) => {}
        }
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
