//! The door: who dials this node is let in if it belongs to the cluster, introduces itself and is believed.

use std::sync::Arc;
use std::time::Duration;

use everpost_transport::{CloseCode, Connection, Intrusion, IntrusionReason};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Links;
use super::introduction::introduce_in_time;

/// How many newcomers may be introducing themselves at a time.
const INTRODUCTIONS_MAX: usize = 64;
/// How many intrusions are logged in a period; a stranger must not fill the log.
const INTRUSIONS_MAX: u32 = 20;
/// The period.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets peers in until the links stop.
pub(super) async fn watch(links: &Arc<Links>) {
    let mut introductions = JoinSet::new();
    let mut intrusions = Intrusions { since: Instant::now(), logged: 0, silenced: 0 };
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
            Some(Err(intrusion)) => intrusions.log(&links.core.name, &intrusion),
            Some(Ok(connection)) => drop(introductions.spawn(let_in(Arc::clone(links), connection))),
        }
    }
}

async fn let_in(links: Arc<Links>, connection: Connection) {
    let core = &links.core;
    let Some(peer) = core.cluster.peer(connection.peer()).filter(|peer| !peer.is_dialed) else {
        connection.close(CloseCode::Refused, "of two nodes the one with the smaller name dials");
        return;
    };
    let remote = connection.remote();
    match introduce_in_time(core, peer, connection).await {
        Ok(introduced) => peer.arrive(introduced),
        Err(error) if error.is_passing() => {
            tracing::info!(node = %core.name, peer = %peer.name, %remote, reason = %error, event = "link down");
        }
        Err(error) => {
            tracing::error!(node = %core.name, peer = %peer.name, %remote, %error, event = "peer refused");
        }
    }
}

/// Connections that were refused before anybody introduced themselves.
struct Intrusions {
    since: Instant,
    logged: u32,
    silenced: u32,
}

impl Intrusions {
    fn log(&mut self, node: &str, Intrusion { remote, reason, .. }: &Intrusion) {
        if self.since.elapsed() > PERIOD {
            if self.silenced > 0 {
                tracing::warn!(node, connections = self.silenced, event = "more connections refused");
            }
            *self = Self { since: Instant::now(), logged: 0, silenced: 0 };
        }
        if let IntrusionReason::Lost(_) = reason {
            // A peer that stops, or dies, in the middle of it.
            tracing::info!(node, %remote, %reason, event = "connection lost");
        } else if self.logged < INTRUSIONS_MAX {
            self.logged += 1;
            tracing::warn!(node, %remote, %reason, event = "connection refused");
        } else {
            self.silenced += 1;
        }
    }
}
