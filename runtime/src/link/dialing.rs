//! Dialing a peer until it answers. An address that is silent holds up nobody: what was dialed there is waited for
//! while others are dialed, or the same one again. So a path that is slow is found without waiting long for one that
//! leads nowhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everpost_transport::{Backoff, Connection, DialError, HandshakeTimeout};
use tokio::task::JoinSet;

use super::Links;
use super::introduction::introduce_in_time;
use crate::base::caught::joined;
use crate::cluster::Peer;
use crate::cluster::ended::Ended;
use crate::cluster::introduced::Introduced;
use crate::config::LinkConfig;

/// How many times as long a peer is left alone that refuses this node, or is refused, as one that does not answer.
const REFUSED_FOR: u32 = 10;

/// How many handshakes with one address are under way at a time, each of which may take as long as was found to be
/// needed: settings may have a new one begin each millisecond, and each wait for a day.
const UNDER_WAY_MAX: usize = 8;

/// How long one more may take then. QUIC repeats the packets of the others ever more rarely, and the peer may be back
/// any moment.
const PROBE: Duration = Duration::from_secs(1);

/// Dials one peer.
pub(super) struct Dialing {
    links: Arc<Links>,
    peer: Arc<Peer>,
    ways: Vec<Way>,
    backoff: Backoff,
    /// After the peer was refused, or has refused: somebody has to mend that first.
    refusals: Backoff,
}

/// An address of the peer, and how long it may take to answer.
struct Way {
    address: SocketAddr,
    timeout: HandshakeTimeout,
    /// How many handshakes.
    under_way: usize,
    /// And whether one more, a short one.
    is_probed: bool,
}

/// What came of dialing one address.
struct Attempt {
    way: usize,
    within: Duration,
    is_probe: bool,
    outcome: Result<Connection, DialError>,
}

impl Dialing {
    pub(super) fn new(links: &Arc<Links>, peer: &Arc<Peer>) -> Self {
        let config = &links.config;
        let timeout = HandshakeTimeout::new(config.handshake_first, config.handshake_cap);
        let ways = peer.addresses.iter().map(|address| Way {
            address: *address,
            timeout: timeout.clone(),
            under_way: 0,
            is_probed: false,
        });
        let (links, peer, ways) = (Arc::clone(links), Arc::clone(peer), ways.collect());
        let LinkConfig { reconnect_first, reconnect_cap, .. } = links.config;
        let backoff = Backoff::new(reconnect_first, reconnect_cap);
        let refusals = Backoff::new(reconnect_first, reconnect_cap.saturating_mul(REFUSED_FOR));
        Self { links, peer, ways, backoff, refusals }
    }

    /// A conversation with the peer has ended: waits for a growing random time, unless the next one may well live
    /// longer.
    pub(super) async fn pause(&mut self, ended: &Ended) {
        if ended.is_passing() {
            self.backoff.succeeded();
            self.refusals.succeeded();
        }
        self.wait_after(ended).await;
    }

    async fn wait_after(&mut self, ended: &Ended) {
        let backoff = if ended.is_passing() { &mut self.backoff } else { &mut self.refusals };
        tokio::time::sleep(backoff.failed(rand::random())).await;
    }

    /// Dials until there is a connection whose peer was believed.
    pub(super) async fn reach(&mut self) -> Introduced {
        loop {
            let connection = self.connect().await;
            match introduce_in_time(&self.links, &self.peer, connection).await {
                Ok(introduced) => return introduced,
                Err(ended) => {
                    self.peer.alarms().ended(&self.links.shard.name, &self.peer.name, &ended);
                    self.wait_after(&ended).await;
                }
            }
        }
    }

    /// Dials all addresses in turn until one answers, with a growing random wait between the rounds. The other attempts
    /// are given up on then.
    async fn connect(&mut self) -> Connection {
        let mut attempts = JoinSet::new();
        self.ways.iter_mut().for_each(|way| (way.under_way, way.is_probed) = (0, false));
        loop {
            for way in 0..self.ways.len() {
                let newest = self.dial(way, &mut attempts);
                let turn = self.links.config.handshake_first;
                if let Some(connection) = self.first(&mut attempts, turn, newest).await {
                    return connection;
                }
            }
            let pause = self.backoff.failed(rand::random());
            if let Some(connection) = self.first(&mut attempts, pause, None).await {
                return connection;
            }
        }
    }

    /// Begins a handshake, if there is room for one.
    fn dial(&mut self, way: usize, attempts: &mut JoinSet<Attempt>) -> Option<tokio::task::Id> {
        let (links, peer) = (Arc::clone(&self.links), Arc::clone(&self.peer));
        let Way { address, ref timeout, ref mut under_way, ref mut is_probed } = self.ways[way];
        let is_probe = *under_way == UNDER_WAY_MAX;
        let within = match is_probe {
            true if *is_probed => return None,
            true => {
                *is_probed = true;
                PROBE.min(timeout.current())
            }
            false => {
                *under_way += 1;
                timeout.current()
            }
        };
        let attempt = async move {
            let outcome = links.endpoint.dial(&peer.name, address, within).await;
            Attempt { way, within, is_probe, outcome }
        };
        Some(attempts.spawn(attempt).id())
    }

    /// The first of the attempts that comes to a connection within this time. None sooner when the newest has failed.
    async fn first(
        &mut self,
        attempts: &mut JoinSet<Attempt>,
        time: Duration,
        newest: Option<tokio::task::Id>,
    ) -> Option<Connection> {
        let mut turn = std::pin::pin!(tokio::time::sleep(time));
        loop {
            let ended = tokio::select! {
                Some(ended) = attempts.join_next_with_id() => ended,
                () = &mut turn => return None,
            };
            // Of a panic the link itself fails, and is started anew by its supervisor. One that was cut off has met the
            // end of the runtime.
            let Some((id, Attempt { way, within, is_probe, outcome })) = joined(ended) else { continue };
            let Way { timeout, under_way, is_probed, .. } = &mut self.ways[way];
            if is_probe {
                *is_probed = false;
            } else {
                *under_way -= 1;
            }
            match outcome {
                Ok(connection) => {
                    timeout.answered(connection.rtt());
                    return Some(connection);
                }
                Err(error) => {
                    if matches!(error, DialError::TimedOut { .. }) {
                        timeout.exceeded(within);
                    }
                    self.peer.alarms().not_reached(&self.links.shard.name, &self.peer.name, &error);
                }
            }
            if newest == Some(id) {
                return None;
            }
        }
    }
}
