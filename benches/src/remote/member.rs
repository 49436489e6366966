//! One of the two nodes: a process that does what it is ordered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use everpost::{ClusterConfig, Node, NodeConfig};

use super::certificates::identity;
use super::order::Started;
use super::worker::Worker;
use crate::actors::{Committed, Pipelined};
use crate::clock::machine_time;
use crate::flood::WINDOW;
use crate::problem::Problem;
use crate::process::{next_order, report};

/// One of the two nodes; it reports that it has started, obeys orders, and ends cleanly when there are no more.
#[derive(Debug, Args)]
pub(crate) struct Member {
    #[arg(long)]
    pub(super) name: String,
    /// Of its store
    #[arg(long)]
    pub(super) folder: PathBuf,
    /// Where the certificates of both are
    #[arg(long)]
    pub(super) certificates: PathBuf,
    #[arg(long)]
    pub(super) listen: SocketAddr,
    #[arg(long)]
    pub(super) peer: String,
    #[arg(long)]
    pub(super) peer_address: SocketAddr,
    /// Where the actors live
    #[arg(long)]
    pub(super) receiver: String,
    /// Threads of the runtime; as many as there are cores if not given
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// Of the store; for a smoke run, which does not wait for it
    #[arg(long)]
    pub(super) checkpoint_milliseconds: Option<u64>,
}

impl Member {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.threads {
            builder.worker_threads(threads);
        }
        let runtime = builder.enable_all().build()?;
        let node = runtime.block_on(self.start())?;
        report(&Started { at: machine_time() })?;
        let mut worker = Worker::new(node.clone(), self.peer);
        while let Some(order) = next_order()? {
            // On a worker of the runtime, as a service would: this thread is none.
            let work = runtime.spawn(async move {
                let answer = worker.obey(order).await?;
                Ok::<_, Problem>((worker, answer))
            });
            let answer;
            (worker, answer) = runtime.block_on(work)??;
            report(&answer)?;
        }
        Ok(runtime.block_on(node.stop())?)
    }

    async fn start(&self) -> Result<Node, Problem> {
        // A client that is faster than one actor is held back, instead of filling the disk with what waits.
        let mut config = NodeConfig { mailbox_messages_max: WINDOW, ..NodeConfig::default() };
        if let Some(milliseconds) = self.checkpoint_milliseconds {
            config.store.checkpoint_age = Duration::from_millis(milliseconds);
        }
        let nodes = vec![self.receiver.clone()];
        let actors = ["committed", "pipelined"].map(|name| (name.to_owned(), nodes.clone()));
        let mut cluster = ClusterConfig::new("benches", self.listen, identity(&self.certificates, &self.name));
        cluster.peers.insert(self.peer.clone(), vec![self.peer_address]);
        cluster.actors.extend(actors);
        let node = Node::builder(&self.name, &self.folder).config(config).cluster(cluster);
        Ok(node.actor(Committed).actor(Pipelined).start().await?)
    }
}
