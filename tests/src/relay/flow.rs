//! One sender behind the relay, and the fate of each packet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::{PACKET_BYTES_MAX, Shared};
use crate::seeds::Random;

/// How long a packet is held back beyond the others, at most.
const HELD_BACK_MAX: Duration = Duration::from_millis(20);

/// The way back to one sender; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Flow {
    upstream: Arc<UdpSocket>,
    target: SocketAddr,
    back: JoinHandle<()>,
}

/// Decides what happens to the packets of one direction.
#[derive(Debug)]
pub(super) struct Direction {
    random: Random,
    shared: Arc<Shared>,
}

impl Flow {
    pub(super) async fn start(
        front: &Arc<UdpSocket>,
        sender: SocketAddr,
        target: SocketAddr,
        mut direction: Direction,
    ) -> Self {
        let upstream = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let (upstream, front) = (Arc::new(upstream), Arc::clone(front));
        let socket = Arc::clone(&upstream);
        let back = tokio::spawn(async move {
            let mut packet = vec![0; PACKET_BYTES_MAX];
            loop {
                // As above; and from nobody else than the node.
                match socket.recv_from(&mut packet).await {
                    Ok((bytes, from)) if from == target => direction.pass(&front, sender, &packet[..bytes]).await,
                    Ok(_) | Err(_) => {}
                }
            }
        });
        Self { upstream, target, back }
    }

    pub(super) async fn send(&self, direction: &mut Direction, packet: &[u8]) {
        direction.pass(&self.upstream, self.target, packet).await;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.back.abort();
    }
}

impl Direction {
    pub(super) fn new(seed: u64, shared: &Arc<Shared>) -> Self {
        Self { random: Random::new(seed), shared: Arc::clone(shared) }
    }

    /// Lets fate decide on a packet. Every packet draws as often as every other, so that one decision does not move
    /// those after it.
    async fn pass(&mut self, socket: &Arc<UdpSocket>, to: SocketAddr, packet: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let faults = shared.faults;
        let mut happens = |share: u32| self.random.below(100) < u64::from(share);
        let [drop, duplicate, reorder, corrupt] =
            [faults.drop, faults.duplicate, faults.reorder, faults.corrupt].map(&mut happens);
        let spread = faults.delay_max.saturating_sub(faults.delay_min);
        let delays = [0, 1].map(|_| faults.delay_min + self.delay(spread));
        let (held_back, position, change) =
            (self.delay(HELD_BACK_MAX), self.random.below(1 << 16), self.random.below(255));
        count(&shared.came, true);
        let is_cut = shared.is_cut.load(Ordering::Relaxed);
        count(&shared.cut, is_cut);
        count(&shared.dropped, drop && !is_cut);
        if is_cut || drop {
            return;
        }
        let mut packet = packet.to_vec();
        if corrupt && !packet.is_empty() {
            let index = usize::try_from(position).unwrap_or_default() % packet.len();
            packet[index] ^= u8::try_from(change + 1).unwrap_or(u8::MAX);
        }
        count(&shared.corrupted, corrupt);
        count(&shared.reordered, reorder);
        count(&shared.duplicated, duplicate);
        let held_back = if reorder { faults.delay_max + held_back } else { Duration::ZERO };
        let copies = if duplicate { 2 } else { 1 };
        for delay in delays.into_iter().take(copies) {
            deliver(socket, to, packet.clone(), delay + held_back).await;
        }
    }

    fn delay(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.below(micros.saturating_add(1)))
    }
}

/// Sends a packet after a while. What the system does not take is lost, as packets are.
async fn deliver(socket: &Arc<UdpSocket>, to: SocketAddr, packet: Vec<u8>, delay: Duration) {
    if delay.is_zero() {
        let _ = socket.send_to(&packet, to).await;
    } else {
        let socket = Arc::clone(socket);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = socket.send_to(&packet, to).await;
        });
    }
}

fn count(counter: &AtomicU64, happened: bool) {
    counter.fetch_add(u64::from(happened), Ordering::Relaxed);
}
