//! The two nodes, each in a process of its own: `east` sends, and all actors live on `west`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::certificates;
use super::order::{Order, Started};
use crate::clock::machine_time;
use crate::problem::Problem;
use crate::process::Running;

/// What both processes are started with.
pub(super) struct Options {
    pub(super) threads: Option<usize>,
    pub(super) checkpoint_age: Option<Duration>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Sender,
    Receiver,
}

/// Both of them.
pub(super) struct Pair {
    folder: PathBuf,
    addresses: [SocketAddr; 2],
    options: Options,
    nodes: [Option<Running>; 2],
    /// How many numbers were given out.
    numbers: u64,
}

/// When a process that was killed was started again, and when it said that it had.
pub(super) struct Restart {
    pub(super) spawned: Duration,
    pub(super) started: Duration,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sender => "east",
            Self::Receiver => "west",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

impl Pair {
    /// Starts both, with empty stores in `folder`, and waits for the link between them.
    pub(super) fn start(folder: &Path, options: Options) -> Result<Self, Problem> {
        certificates::issue(folder, &[Side::Sender, Side::Receiver].map(Side::name))?;
        let addresses = free_addresses()?;
        let mut pair = Self { folder: folder.to_path_buf(), addresses, options, nodes: [None, None], numbers: 0 };
        pair.spawn(Side::Receiver)?;
        pair.spawn(Side::Sender)?;
        pair.order::<()>(Side::Sender, &Order::Link)?;
        pair.order::<()>(Side::Sender, &Order::Prepare)?;
        Ok(pair)
    }

    /// Gives an order, and waits for its answer.
    pub(super) fn order<R: DeserializeOwned>(&mut self, side: Side, order: &Order) -> Result<R, Problem> {
        let node = self.nodes[side as usize].as_mut();
        let node = node.ok_or_else(|| Problem::new(format!("{} does not run", side.name())))?;
        node.order(order)?;
        node.report()
    }

    /// A number that was not given out before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Ends one as a crash would.
    pub(super) fn kill(&mut self, side: Side) -> Result<(), Problem> {
        match self.nodes[side as usize].take() {
            Some(node) => node.kill(),
            None => Ok(()),
        }
    }

    /// Starts one, on the store that it has.
    pub(super) fn spawn(&mut self, side: Side) -> Result<Restart, Problem> {
        let arguments = self.arguments(side);
        let spawned = machine_time();
        let mut node = Running::start(&std::env::current_exe()?, &arguments)?;
        let Started { at: started } = node.report()?;
        self.nodes[side as usize] = Some(node);
        Ok(Restart { spawned, started })
    }

    /// Lets both end cleanly.
    pub(super) fn finish(self) -> Result<(), Problem> {
        self.nodes.into_iter().flatten().try_for_each(Running::finish)
    }

    fn arguments(&self, side: Side) -> Vec<OsString> {
        let other = side.other();
        let mut arguments: Vec<OsString> = vec!["member".into()];
        let mut add = |name: &str, value: OsString| arguments.extend([OsString::from(name), value]);
        add("--name", side.name().into());
        add("--folder", self.folder.join(side.name()).into());
        add("--certificates", self.folder.clone().into());
        add("--listen", self.addresses[side as usize].to_string().into());
        add("--peer", other.name().into());
        add("--peer-address", self.addresses[other as usize].to_string().into());
        add("--receiver", Side::Receiver.name().into());
        if let Some(threads) = self.options.threads {
            add("--threads", threads.to_string().into());
        }
        if let Some(age) = self.options.checkpoint_age {
            add("--checkpoint-milliseconds", age.as_millis().to_string().into());
        }
        arguments
    }
}

/// Two addresses of this machine that nobody listens on.
fn free_addresses() -> Result<[SocketAddr; 2], Problem> {
    // Held together, so that they differ.
    let sockets = [UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?];
    Ok([sockets[0].local_addr()?, sockets[1].local_addr()?])
}
