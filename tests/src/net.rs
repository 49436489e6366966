//! A cluster on this machine: where each node listens, what it calls its own, and which way it takes to the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everpost::{ClusterConfig, IdentityFiles, LinkConfig, Node, NodeBuilder, NodeConfig};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::bulk::Bulk;
use crate::cluster::{Authority, free_address, link};
use crate::load;
use crate::probe::Probe;
use crate::wait::{DEADLINE, soon};
use crate::worker::{Quick, Worker};

/// Several nodes that know each other, running or not.
#[derive(Debug)]
pub struct Net {
    /// Issues the certificates.
    pub authority: Authority,
    seats: BTreeMap<String, (TempDir, Seat)>,
}

/// What a node needs to take part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// Its name.
    pub name: String,
    /// Where its store is.
    pub folder: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The others, and where to reach them.
    pub peers: BTreeMap<String, Vec<SocketAddr>>,
    /// On which nodes the actors of a type live, where it is not all of them.
    pub actors: BTreeMap<String, Vec<String>>,
    /// The files of its certificate, of its key, and of the authority.
    pub identity: [PathBuf; 3],
    /// Its settings.
    #[serde(skip, default = "crate::config")]
    pub config: NodeConfig,
    /// The settings of its links.
    #[serde(skip, default = "link")]
    pub link: LinkConfig,
}

impl Net {
    /// Nodes of these names that reach each other directly.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        names.iter().for_each(|name| crate::logs::use_name(name, false));
        let authority = Authority::new();
        let addresses: BTreeMap<&str, SocketAddr> = names.iter().map(|name| (*name, free_address())).collect();
        let seat = |name: &&str| {
            let IdentityFiles { certificate, key, authority } = authority.issue(name, |_| {});
            let folder = crate::folder();
            let others = addresses.iter().filter(|(other, _)| *other != name);
            let seat = Seat {
                name: (*name).to_owned(),
                folder: folder.path().to_owned(),
                listen: addresses[name],
                peers: others.map(|(other, address)| ((*other).to_owned(), vec![*address])).collect(),
                actors: BTreeMap::new(),
                identity: [certificate, key, authority],
                config: crate::config(),
                link: link(),
            };
            ((*name).to_owned(), (folder, seat))
        };
        let seats = names.iter().map(seat).collect();
        Self { authority, seats }
    }

    /// All nodes are to have the actors of this type on these.
    #[must_use]
    pub fn with(mut self, actor_type: &str, nodes: &[&str]) -> Self {
        for (_, seat) in self.seats.values_mut() {
            seat.place(actor_type, nodes);
        }
        self
    }

    /// All nodes are to have these settings.
    #[must_use]
    pub fn config(mut self, config: &NodeConfig) -> Self {
        self.seats.values_mut().for_each(|(_, seat)| seat.config = config.clone());
        self
    }

    /// What the node `name` needs.
    #[must_use]
    pub fn seat(&self, name: &str) -> &Seat {
        &self.seats[name].1
    }

    /// The same, to be changed.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn seat_mut(&mut self, name: &str) -> &mut Seat {
        &mut self.seats.get_mut(name).expect("it is one of the nodes").1
    }

    /// Lets `from` reach `to` at this address only. Of two nodes the one with the smaller name dials.
    pub fn route(&mut self, from: &str, to: &str, address: SocketAddr) {
        self.seat_mut(from).peers.insert(to.to_owned(), vec![address]);
    }

    /// Starts a node with every actor of the harness.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(&self, name: &str, probe: &Arc<Probe>) -> Node {
        let started = self.seat(name).builder(probe).start().await;
        started.unwrap_or_else(|error| panic!("{name} does not start: {error}"))
    }

    /// Starts all nodes, in the order of their names.
    ///
    /// # Panics
    ///
    /// When one does not start.
    pub async fn start_all(&self, probe: &Arc<Probe>) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(self.seats.len());
        for name in self.seats.keys() {
            nodes.push(self.start(name, probe).await);
        }
        nodes
    }
}

impl Seat {
    /// The node is to have the actors of this type on these nodes.
    pub fn place(&mut self, actor_type: &str, nodes: &[&str]) {
        self.actors.insert(actor_type.to_owned(), nodes.iter().map(|name| (*name).to_owned()).collect());
    }

    /// The node with every actor of the harness, not started yet.
    pub fn builder(&self, probe: &Arc<Probe>) -> NodeBuilder {
        load::actors(self.bare().actor(Worker::new(probe)).actor(Quick::new(probe)).actor(Bulk))
    }

    /// The node without an actor, not started yet.
    pub fn bare(&self) -> NodeBuilder {
        Node::builder(&self.name, &self.folder).config(self.config.clone()).cluster(self.cluster())
    }

    /// The node's place in the cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterConfig {
        let [certificate, key, authority] = self.identity.clone();
        let identity = IdentityFiles { certificate, key, authority };
        let mut cluster = ClusterConfig::new("test", self.listen, identity);
        cluster.peers.clone_from(&self.peers);
        cluster.actors.clone_from(&self.actors);
        cluster.link.clone_from(&self.link);
        cluster
    }

    /// The same node with another folder for its store, at another address.
    #[must_use]
    pub fn elsewhere(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), listen: free_address(), ..self.clone() }
    }

    /// Copies its store, which must not be open.
    ///
    /// # Panics
    ///
    /// When the files cannot be copied.
    #[must_use]
    pub fn copy_of_store(&self) -> TempDir {
        let copy = crate::folder();
        copy_folder(&self.folder, copy.path()).expect("files can be copied");
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&copy)?;
            copy_folder(&entry.path(), &copy)?;
        } else {
            std::fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// Waits until nothing waits on any of the nodes, and nothing is on its way between them.
///
/// # Panics
///
/// When that takes too long, or a store fails.
pub async fn settled(nodes: &[&Node]) {
    let handled = || nodes.iter().map(|node| node.statistics().handled).sum::<u64>();
    let rounds = async {
        loop {
            let before = handled();
            for node in nodes {
                node.drained().await.expect("the store works");
            }
            // What a node had sent on to one that had drained before it waits there, or was handled since.
            let is_idle = |node: &&Node| node.statistics().waiting == 0 && node.statistics().outbox == 0;
            if nodes.iter().all(is_idle) && handled() == before {
                return;
            }
        }
    };
    if tokio::time::timeout(DEADLINE, rounds).await.is_err() {
        let left: Vec<_> = nodes.iter().map(|node| (node.name(), node.statistics())).collect();
        panic!("I8: everything drains, within {DEADLINE:?}: {left:#?}");
    }
}

/// Waits until these nodes are linked with each other.
///
/// # Panics
///
/// When that takes too long.
pub async fn linked(nodes: &[&Node]) {
    for node in nodes {
        for other in nodes.iter().filter(|other| other.name() != node.name()) {
            let what = format!("{} is linked to {}", node.name(), other.name());
            crate::wait::eventually(&what, || node.is_linked_to(other.name())).await;
        }
    }
}

/// Stops the nodes.
///
/// # Panics
///
/// When one does not stop cleanly.
pub async fn stop(nodes: impl IntoIterator<Item = Node>) {
    for node in nodes {
        soon("it stops", node.stop()).await.unwrap_or_else(|error| panic!("{}: {error}", node.name()));
    }
}
