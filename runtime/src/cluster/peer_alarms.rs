//! What the log says of a link that does not stand. One place for both sides of it, so that the one that dials and the
//! one that waits tell the same, each as often as the other.

use std::fmt::Display;

use everpost_persistence::ShardId;
use everpost_transport::link::Lane;
use everpost_transport::{CloseCode, Closed, DialError};
use tokio::time::Instant;

use super::ended::Ended;
use crate::base::alarm::{Alarm, Alarms, Said};
use crate::base::clock::{ClockSkew, SKEW_MAX};
use crate::base::text::brief;
use crate::cluster::ended::ArrivalError;

/// How many reasons are told at a time for which a peer is refused.
const REASONS_MAX: usize = 8;
/// Of how many actor types the log tells at a time that their places differ.
const TYPES_MAX: usize = 64;
/// Of how many new stores of a peer the log tells at a time.
const STORES_MAX: usize = 8;
/// Of how many lanes the log tells at a time that they wait.
const LANES_MAX: usize = 16;

/// The troubles with one peer.
#[derive(Debug)]
pub(crate) struct PeerAlarms {
    down: Alarm,
    /// By their words: what an operator changes may well lead to the next one.
    refused: Alarms<String>,
    failed: Alarm,
    /// Lanes that wait for a message to be taken.
    pub(crate) too_large: Alarms<Lane>,
    /// The same, for other reasons; told by either side.
    pub(crate) stopped: Alarms<Lane>,
    clocks: Alarm,
    /// The peer has met another process of this node's name.
    namesake: Alarm,
    /// Actor types that the peer places elsewhere.
    placement: Alarms<String>,
    /// Stores that it had none of before.
    stores: Alarms<u128>,
    was_up: bool,
}

impl Default for PeerAlarms {
    fn default() -> Self {
        Self {
            down: Alarm::default(),
            refused: Alarms::new(REASONS_MAX),
            failed: Alarm::default(),
            too_large: Alarms::new(LANES_MAX),
            clocks: Alarm::default(),
            namesake: Alarm::default(),
            placement: Alarms::new(TYPES_MAX),
            stores: Alarms::new(STORES_MAX),
            stopped: Alarms::new(LANES_MAX),
            was_up: false,
        }
    }
}

impl PeerAlarms {
    /// A conversation begins.
    pub(crate) fn up(&mut self, node: &str, peer: &str, owed: usize) {
        let now = Instant::now();
        let is_over = [self.down.clear(now).is_some(), self.refused.clear(now) > 0, self.failed.clear(now).is_some()];
        // A link that comes and goes is told once a minute.
        if is_over.contains(&true) || !self.was_up {
            self.was_up = true;
            tracing::info!(node, peer, owed, event = "link up", "messages go both ways");
        }
    }

    /// A peer has said what its wall clock says. Waits do not depend on it: what is left of them travels.
    pub(crate) fn clocks(&mut self, node: &str, peer: &str, skew: ClockSkew) {
        let now = Instant::now();
        if skew.length() > SKEW_MAX {
            if let Some(Said { times, lasts }) = self.clocks.raise(now) {
                tracing::warn!(
                    node, peer, clock = %skew, times, ?lasts, event = "clocks differ",
                    "times that messages of the peer say are off by as much; see to the clocks of both machines"
                );
            }
        } else if self.clocks.clear(now).is_some() {
            tracing::info!(
                node, peer, clock = %skew, event = "clocks agree",
                "the clocks of both nodes are right again"
            );
        }
    }

    /// A peer has another store than before.
    pub(crate) fn new_store(&mut self, node: &str, peer: &str, store: ShardId) {
        if let Some(Said { times, .. }) = self.stores.raise(store.0, Instant::now()) {
            tracing::error!(
                node, peer, %store, times, event = "peer has a new store",
                "what its old store had accepted and not handled is gone with it; messages that it has not \
                 acknowledged are sent to the new one"
            );
        }
    }

    /// A peer has said where actors live: of these types it does not agree.
    pub(crate) fn placement(&mut self, node: &str, peer: &str, differing: &[&str]) {
        let now = Instant::now();
        for actor_type in differing {
            let actor_type = brief(actor_type);
            if let Some(Said { times, lasts }) = self.placement.raise(actor_type.clone(), now) {
                tracing::error!(
                    node,
                    peer,
                    actor_type,
                    times,
                    ?lasts,
                    event = "placement differs",
                    "the two nodes do not agree on where actors of this type live, so that their messages between them \
                     wait; give both the same list of nodes"
                );
            }
        }
        if differing.is_empty() && self.placement.clear(now) > 0 {
            tracing::info!(node, peer, event = "placement differs", "it is over");
        }
    }

    /// A peer has refused another process of this node's name, which came from there.
    pub(crate) fn namesake(&mut self, node: &str, peer: &str, from: &str) {
        if let Some(Said { times, lasts }) = self.namesake.raise(Instant::now()) {
            tracing::error!(
                node,
                peer,
                from,
                times,
                ?lasts,
                event = "name used twice",
                "another process has come to the peer under the name of this node, with another store, and was \
                 refused; stop one of the two, or give it a name and a certificate of its own"
            );
        }
    }

    /// A conversation, or the introduction before it, has ended.
    pub(crate) fn ended(&mut self, node: &str, peer: &str, ended: &Ended) {
        match ended {
            Ended::Closed(Closed::ByPeer { code: CloseCode::Refused | CloseCode::Protocol, .. }) => {
                self.refused(node, peer, ended);
            }
            Ended::Closed(_) | Ended::Superseded => self.down(node, peer, ended),
            // The end of the node says it.
            Ended::Node(_) => tracing::debug!(node, peer, reason = %ended, event = "link down", "this node stops"),
            Ended::Outbox(_) | Ended::Arrival(ArrivalError::Store(_)) => {
                if let Some(Said { times, lasts }) = self.failed.raise(Instant::now()) {
                    tracing::error!(
                        node, peer, error = %ended, times, ?lasts, event = "link failed",
                        "it is tried again; nothing is lost"
                    );
                }
            }
            _ => self.refused(node, peer, ended),
        }
    }

    /// No address of the peer answers as it should.
    pub(crate) fn not_reached(&mut self, node: &str, peer: &str, error: &DialError) {
        match error {
            DialError::Unreachable { .. } | DialError::TimedOut { .. } | DialError::Lost { .. } => {
                self.down(node, peer, error);
            }
            DialError::Stopping => {}
            error => self.refused(node, peer, error),
        }
    }

    /// There is no link. To be told now and then for as long as that is so.
    pub(crate) fn down(&mut self, node: &str, peer: &str, reason: &dyn Display) {
        match self.down.raise(Instant::now()) {
            Some(Said { lasts, .. }) if lasts.is_zero() => {
                tracing::info!(
                    node, peer, %reason, event = "link down",
                    "messages to the peer are kept until it is back"
                );
            }
            Some(Said { times, lasts }) => {
                tracing::warn!(
                    node, peer, %reason, times, ?lasts, event = "peer away",
                    "messages to it are kept; is it running, and can it be reached?"
                );
            }
            None => tracing::debug!(node, peer, %reason, event = "link down", "as before"),
        }
    }

    fn refused(&mut self, node: &str, peer: &str, error: &dyn Display) {
        let error = brief(error);
        match self.refused.raise(error.clone(), Instant::now()) {
            Some(Said { times, lasts }) => {
                tracing::error!(
                    node,
                    peer,
                    error,
                    times,
                    ?lasts,
                    event = "peer refused",
                    "messages between the two are kept, and wait until the cause is mended"
                );
            }
            None => tracing::debug!(node, peer, error, event = "peer refused", "as before"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn count(&self, words: &str) -> usize {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().filter(|line| line.contains(words)).count()
        }
    }

    /// What is said of a trouble that is met each half second, by a peer that is tried again and again.
    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_once_a_minute_however_often_it_is_met() {
        let kept = Kept::default();
        let writer = kept.clone();
        let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _logs = tracing::subscriber::set_default(logs);
        let mut alarms = PeerAlarms::default();
        for _ in 0..360 {
            alarms.down("east", "west", &"nobody answers");
            alarms.placement("east", "west", &["worker", "quick"]);
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert_eq!(kept.count("event=\"link down\""), 1);
        assert_eq!(kept.count("event=\"peer away\""), 2, "after a minute, and after another");
        assert_eq!(kept.count("event=\"placement differs\""), 6, "each type, once in each of three minutes");
        alarms.up("east", "west", 0);
        alarms.placement("east", "west", &[]);
        assert_eq!((kept.count("event=\"link up\""), kept.count("it is over")), (1, 1));
    }
}
