//! The door: who dials this node is let in if it belongs to the cluster, introduces itself and is believed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use everpost_transport::{AcceptError, Admission, AdmissionId, CloseCode, Connection, RejectionReason};
use jiff::Timestamp;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::introduction::{introduce_in_time, refuse};
use super::{Links, queries};
use crate::base::alarm::{Alarms, Said};
use crate::base::caught::joined;
use crate::cluster::Peer;
use crate::cluster::ended::Ended;
use crate::cluster::introduced::Introduced;
use crate::cluster::introduced::Process;
use crate::shard::Shard;
use crate::shard::service::ENDED;
use crate::shard::services::ACCEPTOR;

/// How many connections of one peer may be introducing themselves at a time.
const INTRODUCTIONS_MAX: usize = 4;
/// Of how many strangers the log tells at a time; they must not fill it.
const STRANGERS_MAX: usize = 20;

/// Lets peers in until the links stop.
pub(super) async fn watch(links: &Arc<Links>) {
    let mut introductions = Introductions::new();
    let mut intrusions = Intrusions { refused: Alarms::new(STRANGERS_MAX), lost: Alarms::new(STRANGERS_MAX) };
    loop {
        let accepted = tokio::select! {
            () = links.shard.links_stopped() => return,
            accepted = links.endpoint.accept() => accepted,
        };
        match accepted {
            // Nobody can connect any more, before the links have stopped.
            None => return links.shard.panicked(ACCEPTOR.name, ACCEPTOR.means, ENDED),
            Some(Err(intrusion)) => intrusions.log(&links.shard.name, &intrusion),
            Some(Ok(connection)) => introductions.begin(links, connection),
        }
    }
}

/// Connections whose peers are introducing themselves. Those of one peer do not hold up another, since each has places
/// of its own; nor the next of the same peer, to which the oldest gives way.
struct Introductions {
    /// Aborted when this is dropped.
    tasks: JoinSet<AdmissionId>,
    begun: HashMap<AdmissionId, (Connection, AbortHandle)>,
    admission: Admission<Arc<str>>,
}

impl Introductions {
    fn new() -> Self {
        // Peers are configured, so that there is a bound to all of them together.
        let admission = Admission::new(INTRODUCTIONS_MAX, usize::MAX);
        Self { tasks: JoinSet::new(), begun: HashMap::new(), admission }
    }

    fn begin(&mut self, links: &Arc<Links>, connection: Connection) {
        while let Some(ended) = self.tasks.try_join_next() {
            // Of a panic the door itself fails, and is opened anew by its supervisor. One that was aborted has given
            // way.
            if let Some(number) = joined(ended) {
                self.begun.remove(&number);
                self.admission.release(number);
            }
        }
        let Some(peer) = links.shard.cluster.peer(connection.peer()).filter(|peer| !peer.is_dialed) else {
            return connection.close(CloseCode::Refused, "of two nodes the one with the smaller name dials");
        };
        let (number, evicted) = self.admission.admit(Arc::clone(&peer.name), true);
        if let Some((older, task)) = evicted.and_then(|number| self.begun.remove(&number))
            // One that was believed just now has the conversation.
            && !task.is_finished()
        {
            older.close(
                CloseCode::Superseded,
                "there are newer connections of this node, and it has not introduced itself",
            );
            task.abort();
        }
        let introduction = let_in(Arc::clone(links), Arc::clone(peer), connection.clone(), number);
        let task = self.tasks.spawn(introduction);
        self.begun.insert(number, (connection, task));
    }
}

/// Returns the number by which it was begun.
async fn let_in(links: Arc<Links>, peer: Arc<Peer>, connection: Connection, number: AdmissionId) -> AdmissionId {
    let shard = &links.shard;
    match introduce_in_time(&links, &peer, connection).await {
        Ok(introduced) => lease(shard, &peer, introduced).await,
        // Of several that it has made at once a peer keeps one, and dials again if it has lost this one.
        Err(ended) if ended.is_passing() => {
            tracing::debug!(
                node = %shard.name, peer = %peer.name, reason = %ended, event = "connection lost",
                "before anybody was introduced"
            );
        }
        Err(ended) => peer.alarms().ended(&shard.name, &peer.name, &ended),
    }
    number
}

/// Gives the conversation to a newcomer, unless another process of its name has it with another store, and is there.
async fn lease(shard: &Shard, peer: &Peer, mut newcomer: Introduced) {
    while let Some(contest) = peer.arrive(newcomer, shard.clock.wall()) {
        let Process { from, liveness } = contest.holder.process;
        if liveness.confirm().await {
            let ended = Ended::NameTaken { from, since: contest.holder.since.timestamp().unwrap_or(Timestamp::MAX) };
            let connection = &contest.newcomer.connection;
            peer.tell(queries::namesake(connection.remote()));
            peer.alarms().ended(&shard.name, &peer.name, &refuse(connection, ended));
            return;
        }
        newcomer = contest.newcomer;
    }
}

/// Connections that ended before anybody introduced themselves, by where they came from.
struct Intrusions {
    refused: Alarms<IpAddr>,
    lost: Alarms<IpAddr>,
}

impl Intrusions {
    fn log(&mut self, node: &str, AcceptError { remote, reason, .. }: &AcceptError) {
        let is_lost = matches!(reason, RejectionReason::Lost(_));
        let alarms = if is_lost { &mut self.lost } else { &mut self.refused };
        let Some(Said { times, lasts }) = alarms.raise(remote.ip(), Instant::now()) else { return };
        if is_lost {
            // A peer that stops, or dies, in the middle of it.
            tracing::info!(
                node, %remote, %reason, times, ?lasts, event = "connection lost",
                "it ended during the handshake"
            );
        } else {
            tracing::warn!(
                node, %remote, %reason, times, ?lasts, event = "connection refused",
                "who dialed is no node of this cluster, or has the wrong certificate"
            );
        }
    }
}
