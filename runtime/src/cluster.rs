//! The other nodes, as this one sees them: who owns an address, and the way there. A node without a cluster owns
//! everything.

pub(crate) mod ended;
pub(crate) mod expiring;
pub(crate) mod flags;
pub(crate) mod introduced;
pub(crate) mod note;
mod outgoing;
mod peer;
pub(crate) mod peer_alarms;
pub(crate) mod producer;
pub(crate) mod queries;
mod records;
pub(crate) mod remote_query;
pub(crate) mod rules;
pub(crate) mod unmet;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use everpost_persistence::{Partition, ShardId};
use everpost_transport::hello::{EarlierRun, ReceiverType};
use everpost_transport::link::{Lane, Receiving};
use rustc_hash::FxHashMap;

pub(crate) use self::outgoing::{Delivery, Departure, OutboxFull, Outgoing};
pub(crate) use self::peer::Peer;
pub(crate) use self::records::{
    CURSOR_BYTES_MAX, decode_cursor, decode_known_store, decode_runs, encode_cursor, encode_known_store, encode_runs,
};
pub(crate) use self::rules::known_stores::KnownStores;
pub(crate) use self::rules::notes::ToTell;
pub(crate) use self::rules::placement::{Placement, receiver_type_of};
pub(crate) use self::unmet::UnmetPeers;
pub(crate) use self::waiting::{Awaited, Inquiry, Pending};
use crate::config::{ClusterConfig, NodeConfig};
use crate::message::address::Address;

/// The cluster that a node is part of.
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// In the order of their names.
    peers: Vec<Arc<Peer>>,
    /// Where the types live that the configuration names.
    by_type: FxHashMap<String, Residence>,
    /// Where all others live.
    anywhere: Residence,
    /// How far the lanes of other stores have come.
    producers: Mutex<HashMap<u128, Arc<Mutex<Receiving>>>>,
    /// What is remembered of other stores.
    known_stores: Mutex<KnownStores>,
    /// The runs that this store was through before this one.
    earlier_runs: OnceLock<Vec<EarlierRun>>,
    /// What is noted of peers that are not spoken with.
    unmet: Mutex<UnmetPeers>,
}

/// Where the actors of a type live.
struct Residence {
    placement: Placement,
    /// For each partition the node that owns it, if that is another one.
    peers: Vec<Option<Arc<Peer>>>,
}

impl Cluster {
    /// A node by itself: it owns everything.
    pub(crate) fn alone(node: &str, partitions: u16) -> Self {
        let placement = Placement::new(&[node.to_owned()], partitions);
        Self::with_peers(String::new(), Vec::new(), placement, partitions)
    }

    pub(crate) fn new(node: &str, config: &ClusterConfig, limits: &NodeConfig, partitions: u16) -> Self {
        let peer = |(name, addresses): (&String, &Vec<SocketAddr>)| {
            Arc::new(Peer::new(name, addresses.clone(), node, &config.link, limits))
        };
        let peers: Vec<Arc<Peer>> = config.peers.iter().map(peer).collect();
        let everyone: BTreeSet<String> = config.peers.keys().cloned().chain([node.to_owned()]).collect();
        let everyone: Vec<String> = everyone.into_iter().collect();
        let mut cluster =
            Self::with_peers(config.name.clone(), peers, Placement::new(&everyone, partitions), partitions);
        for (actor_type, nodes) in &config.actors {
            let residence = Residence::new(Placement::new(nodes, partitions), &cluster.peers, partitions);
            cluster.by_type.insert(actor_type.clone(), residence);
        }
        cluster
    }

    fn with_peers(name: String, peers: Vec<Arc<Peer>>, placement: Placement, partitions: u16) -> Self {
        let anywhere = Residence::new(placement, &peers, partitions);
        Self {
            name,
            peers,
            by_type: FxHashMap::default(),
            anywhere,
            producers: Mutex::default(),
            known_stores: Mutex::default(),
            earlier_runs: OnceLock::new(),
            unmet: Mutex::default(),
        }
    }

    /// The peer where an address lives, and the lane to it; none if it lives on this node.
    pub(crate) fn remote(&self, address: &Address, partition: Partition) -> Option<(Arc<Peer>, Lane)> {
        if self.peers.is_empty() {
            return None;
        }
        let peer = self.residence(address.actor_type()).peers[usize::from(partition.0)].as_ref()?;
        Some((Arc::clone(peer), Lane { receiver_type: receiver_type_of(address.actor_type()), partition: partition.0 }))
    }

    /// The name of the node that owns a partition of an actor type.
    pub(crate) fn owner_name(&self, actor_type: &str, partition: Partition) -> &str {
        self.residence(actor_type).placement.owner(partition)
    }

    /// What a node of this cluster says of where a type lives.
    pub(crate) fn receiver_type(&self, actor_type: &str) -> ReceiverType {
        ReceiverType { name: actor_type.to_owned(), placement: self.residence(actor_type).placement.digest() }
    }

    pub(crate) fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    pub(crate) fn peer(&self, name: &str) -> Option<&Arc<Peer>> {
        self.peers.iter().find(|peer| *peer.name == *name)
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    /// How far the lanes of a store have come. Of one that is not known yet nothing is kept by this: whoever says hello
    /// need not be believed.
    pub(crate) fn producer(&self, store: ShardId) -> Arc<Mutex<Receiving>> {
        lock(&self.producers).get(&store.0).map(Arc::clone).unwrap_or_default()
    }

    /// Keeps how far the lanes of a store have come, which was believed.
    pub(crate) fn know_producer(&self, store: ShardId, receiving: &Arc<Mutex<Receiving>>) {
        lock(&self.producers).entry(store.0).or_insert_with(|| Arc::clone(receiving));
    }

    /// Keeps no longer how far the lanes of a store have come.
    pub(crate) fn forget_producer(&self, store: u128) {
        lock(&self.producers).remove(&store);
    }

    /// What is remembered of other stores. Locked before what peers are owed.
    pub(crate) fn known_stores(&self) -> MutexGuard<'_, KnownStores> {
        lock(&self.known_stores)
    }

    /// What is noted of peers that are not spoken with. Locked after what they are owed.
    pub(crate) fn unmet(&self) -> MutexGuard<'_, UnmetPeers> {
        lock(&self.unmet)
    }

    /// The runs that this store was through before this one, as far as they are remembered.
    pub(crate) fn earlier_runs(&self) -> &[EarlierRun] {
        self.earlier_runs.get().map_or(&[], Vec::as_slice)
    }

    /// What the start found in the store.
    pub(crate) fn recovered_runs(&self, runs: Vec<EarlierRun>) {
        assert!(self.earlier_runs.set(runs).is_ok(), "a store is recovered once");
    }

    /// Messages that other nodes are owed.
    pub(crate) fn in_outboxes(&self) -> usize {
        self.peers.iter().map(|peer| peer.outgoing().backlog().messages).sum()
    }

    fn residence(&self, actor_type: &str) -> &Residence {
        self.by_type.get(actor_type).unwrap_or(&self.anywhere)
    }
}

impl Residence {
    fn new(placement: Placement, peers: &[Arc<Peer>], partitions: u16) -> Self {
        let by_name: BTreeMap<&str, &Arc<Peer>> = peers.iter().map(|peer| (&*peer.name, peer)).collect();
        let peers = (0..partitions).map(|partition| {
            let owner = placement.owner(Partition(partition));
            by_name.get(owner).map(|peer| Arc::clone(peer))
        });
        let peers = peers.collect();
        Self { placement, peers }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<&str> = self.peers.iter().map(|peer| &*peer.name).collect();
        f.debug_struct("Cluster").field("name", &self.name).field("peers", &peers).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
