//! The process with the actors.

use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use ractor::Actor;
use ractor_cluster::NodeServer;

use crate::counter::Counter;
use crate::{COOKIE, Problem};

#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// Where it listens on loopback
    #[arg(long)]
    port: u16,
    /// How many actors there are
    #[arg(long)]
    actors: usize,
}

impl Receive {
    pub(crate) async fn run(self) -> Result<serde_json::Value, Problem> {
        for _ in 0..self.actors {
            Actor::spawn(None, Counter, ()).await?;
        }
        let server = NodeServer::new(self.port, COOKIE.into(), "west".into(), "localhost".into(), None, None)
            .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Actor::spawn(None, server, ()).await?;
        Ok(serde_json::json!(null))
    }
}
