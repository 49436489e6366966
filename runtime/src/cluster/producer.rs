//! Where the messages of a peer come from.

use std::sync::{Arc, Mutex};

use everpost_persistence::ShardId;
use everpost_transport::link::Receiving;

use crate::base::clock::Timelines;
use crate::cluster::Peer;

/// Where the messages of a peer come from.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) peer: Arc<Peer>,
    pub(crate) store: ShardId,
    /// Locked before any mailbox.
    pub(crate) receiving: Arc<Mutex<Receiving>>,
    /// How its timeline lies to that of this store, in this conversation.
    pub(crate) timelines: Timelines,
}
