//! A relay of UDP packets in front of a node, which loses, doubles, delays, reorders and corrupts them, or lets none
//! through. What happens to the n-th packet of a direction follows from the seed; which packet that is follows from the
//! schedule of the system, so a run is alike, and not the same, under one seed.

mod flow;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use self::flow::{Direction, Flow};

/// The largest packet that is taken.
const PACKET_BYTES_MAX: usize = 65_536;

/// What is done to the packets of each direction; shares are in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// How many are lost.
    pub drop: u32,
    /// How many arrive twice.
    pub duplicate: u32,
    /// How many are held back until later ones have passed them.
    pub reorder: u32,
    /// How many have a byte changed.
    pub corrupt: u32,
    /// How long each takes at least.
    pub delay_min: Duration,
    /// And at most.
    pub delay_max: Duration,
}

/// A running relay. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What really happened, over both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// Packets that came.
    pub came: u64,
    /// Of these, how many were lost.
    pub dropped: u64,
    /// How many were sent twice.
    pub duplicated: u64,
    /// How many were held back.
    pub reordered: u64,
    /// How many had a byte changed.
    pub corrupted: u64,
    /// How many were lost because nothing was let through.
    pub cut: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    faults: Faults,
    is_cut: AtomicBool,
    came: AtomicU64,
    dropped: AtomicU64,
    duplicated: AtomicU64,
    reordered: AtomicU64,
    corrupted: AtomicU64,
    cut: AtomicU64,
}

impl Relay {
    /// Starts a relay in front of `target`.
    ///
    /// # Panics
    ///
    /// When the machine has no free port.
    pub async fn start(target: SocketAddr, seed: u64, faults: Faults) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = front.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            faults,
            is_cut: AtomicBool::new(false),
            came: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            duplicated: AtomicU64::new(0),
            reordered: AtomicU64::new(0),
            corrupted: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let task = tokio::spawn(run(Arc::new(front), target, seed, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Where the node in front of which it stands can be reached through it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through from now on.
    pub fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::Relaxed);
    }

    /// Lets packets through again.
    pub fn heal(&self) {
        self.shared.is_cut.store(false, Ordering::Relaxed);
    }

    /// What has really happened so far.
    #[must_use]
    pub fn fired(&self) -> Fired {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { came, dropped, duplicated, reordered, corrupted, cut, .. } = &*self.shared;
        Fired {
            came: read(came),
            dropped: read(dropped),
            duplicated: read(duplicated),
            reordered: read(reordered),
            corrupted: read(corrupted),
            cut: read(cut),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes what comes for the node; each sender has a flow of its own, as behind a router.
async fn run(front: Arc<UdpSocket>, target: SocketAddr, seed: u64, shared: Arc<Shared>) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut there = Direction::new(seed, &shared);
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error is the answer of the system to an earlier packet that nobody took.
        let Ok((bytes, from)) = front.recv_from(&mut packet).await else { continue };
        if !flows.contains_key(&from) {
            let back = Direction::new(!seed ^ flows.len() as u64, &shared);
            flows.insert(from, Flow::start(&front, from, target, back).await);
        }
        flows[&from].send(&mut there, &packet[..bytes]).await;
    }
}
