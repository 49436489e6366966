//! What the process of a point is told to do, and what it says: one line of JSON each.

use std::path::PathBuf;
use std::time::Duration;

use everpost::{Node, NodeConfig, NodeStatistics};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::load::{Bounds, Load, Sent};
use super::quantity::Quantity;
use super::series::Series;
use super::subject::{Onlooker, PAYLOAD_BYTES, Parked, Sink, Spreader, Subject};
use crate::flood::WINDOW;
use crate::problem::Problem;
use crate::process::report;
use crate::throughput::ACTORS;

/// More keys than the largest amount and all that are made while it is measured.
const KEYS_MAX: usize = 4_000_000;
/// How often a process says how far it is.
const TELLING_PERIOD: Duration = Duration::from_millis(200);

/// What one process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) series: Series,
    pub(super) amount: u64,
    pub(super) step: Step,
    /// Where the store is, or is to be made.
    pub(super) folder: PathBuf,
    pub(super) bounds: Bounds,
    /// How many messages a start finds.
    pub(super) messages_at_start: u64,
    /// What a smoke run does not wait for.
    pub(super) checkpoint_age: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Makes the store that is measured.
    Prepare,
    Measure,
}

/// What was measured.
pub(super) type Figures = Vec<(Quantity, f64)>;

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// It is at work.
    At {
        doing: String,
        done: u64,
        of: u64,
    },
    Done(Figures),
    Failed(String),
}

impl Order {
    /// Starts the node of the point. Its settings are the defaults, with room for all keys.
    pub(super) async fn open(&self) -> Result<Node, Problem> {
        let mut config = NodeConfig { idempotency_keys_max: KEYS_MAX, ..NodeConfig::default() };
        if let Some(age) = self.checkpoint_age {
            config.store.checkpoint_age = age;
        }
        let node = Node::builder("growth", &self.folder).config(config);
        let node = node.actor(Subject).actor(Parked).actor(Onlooker).actor(Spreader).actor(Sink);
        Ok(node.start().await?)
    }

    /// The load that a series uses as far as it says nothing else: so long, to actors without a state.
    pub(super) fn load(&self) -> Load {
        Load {
            actors: ACTORS as u64,
            messages: self.bounds.messages,
            time: Some(self.bounds.time),
            rate: None,
            payload_bytes: PAYLOAD_BYTES,
            before: Sent::default(),
            waiting_max: WINDOW,
        }
    }
}

/// Tells the parent how far the process is, until it is dropped.
pub(super) struct Telling(JoinHandle<()>);

impl Telling {
    pub(super) fn begin(node: &Node, doing: &'static str, of: u64, done: fn(&NodeStatistics) -> u64) -> Self {
        let node = node.clone();
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(TELLING_PERIOD).await;
                let said = Said::At { doing: doing.to_owned(), done: done(&node.statistics()), of };
                if report(&said).is_err() {
                    // Nobody listens any more: the process is about to be ended.
                    return;
                }
            }
        }))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}
