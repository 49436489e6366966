//! The door: who dials this node is let in if it belongs to the cluster, introduces itself and is believed.

use std::sync::Arc;

use everpost_transport::{CloseCode, Connection};
use tokio::task::JoinSet;

use super::Links;
use super::introduction::introduce_in_time;

/// How many newcomers may be introducing themselves at a time.
const INTRODUCTIONS_MAX: usize = 64;

/// Lets peers in until the endpoint is closed.
pub(super) async fn watch(links: &Arc<Links>) {
    let mut introductions = JoinSet::new();
    loop {
        while introductions.try_join_next().is_some() {}
        if introductions.len() >= INTRODUCTIONS_MAX {
            introductions.join_next().await;
        }
        let accepted = tokio::select! {
            () = links.core.links_stopped() => return,
            accepted = links.endpoint.accept() => accepted,
        };
        match accepted {
            None => return,
            Some(Err(intrusion)) => {
                tracing::warn!(node = %links.core.name, remote = %intrusion.remote, reason = %intrusion.reason, event = "connection refused");
            }
            Some(Ok(connection)) => {
                introductions.spawn(let_in(Arc::clone(links), connection));
            }
        }
    }
}

async fn let_in(links: Arc<Links>, connection: Connection) {
    let core = &links.core;
    let peer = core.cluster.peers().iter().find(|peer| *peer.name == *connection.peer());
    let Some(peer) = peer.filter(|peer| !peer.is_dialed) else {
        connection.close(CloseCode::Refused, "of two nodes the one with the smaller name dials");
        return;
    };
    let remote = connection.remote();
    match introduce_in_time(core, peer, connection).await {
        Ok(introduced) => peer.arrive(introduced),
        Err(error) => {
            tracing::error!(node = %core.name, peer = %peer.name, %remote, %error, event = "peer refused");
        }
    }
}
