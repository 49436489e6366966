//! The relay does to packets what it is told to, and counts it.

use std::net::Ipv4Addr;
use std::time::Duration;

use everpost_tests::relay::{Faults, Fired, Relay};
use everpost_tests::wait::soon;
use tokio::net::UdpSocket;

const PACKETS: u64 = 200;

/// Sends numbered packets through a relay; returns what arrives, and what the relay has counted.
async fn arrivals(seed: u64, faults: Faults, expected: impl Fn(Fired) -> u64) -> (Vec<Vec<u8>>, Fired) {
    let target = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let relay = Relay::start(target.local_addr().unwrap(), seed, faults).await;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut packets = Vec::new();
    let mut packet = [0; 64];
    for number in 1..=PACKETS {
        sender.send_to(&number.to_be_bytes(), relay.address()).await.unwrap();
        // One at a time, so that no socket overflows.
        everpost_tests::wait::eventually("it comes", || relay.fired().came == number).await;
        while let Ok(bytes) = target.try_recv(&mut packet) {
            packets.push(packet[..bytes].to_vec());
        }
    }
    while (packets.len() as u64) < expected(relay.fired()) {
        let bytes = soon("it arrives", target.recv(&mut packet)).await.unwrap();
        packets.push(packet[..bytes].to_vec());
    }
    (packets, relay.fired())
}

fn numbers(packets: &[Vec<u8>]) -> Vec<u64> {
    packets.iter().map(|packet| u64::from_be_bytes(packet[..].try_into().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_harmed_arrives_as_it_was_sent() {
    let (packets, fired) = arrivals(1, Faults::default(), |fired| fired.came).await;
    assert_eq!(numbers(&packets), (1..=PACKETS).collect::<Vec<_>>());
    assert_eq!(fired, Fired { came: PACKETS, ..Fired::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_lost_and_doubled_as_counted_and_alike_under_one_seed() {
    let faults = Faults { drop: 30, duplicate: 50, ..Faults::default() };
    let arrived = |fired: Fired| fired.came - fired.dropped + fired.duplicated;
    let (packets, fired) = arrivals(2, faults, arrived).await;
    assert!((30..100).contains(&fired.dropped) && (40..120).contains(&fired.duplicated), "{fired:?}");
    let (again, fired_again) = arrivals(2, faults, arrived).await;
    assert_eq!((numbers(&packets), fired), (numbers(&again), fired_again));
    let (other, _) = arrivals(3, faults, arrived).await;
    assert_ne!(numbers(&packets), numbers(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_corrupted_in_one_byte() {
    let (packets, fired) = arrivals(4, Faults { corrupt: 50, ..Faults::default() }, |fired| fired.came).await;
    let differing = (1..).zip(&packets).map(|(number, packet): (u64, _)| {
        number.to_be_bytes().iter().zip(packet).filter(|(sent, arrived)| sent != arrived).count()
    });
    let differing: Vec<usize> = differing.collect();
    assert!(differing.iter().all(|bytes| *bytes <= 1), "{differing:?}");
    assert_eq!(differing.iter().sum::<usize>() as u64, fired.corrupted);
    assert!(fired.corrupted > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_overtaken() {
    let faults = Faults { reorder: 20, delay_max: Duration::from_millis(1), ..Faults::default() };
    let (packets, fired) = arrivals(5, faults, |fired| fired.came).await;
    let arrived = numbers(&packets);
    assert!(!arrived.is_sorted() && fired.reordered > 10, "{fired:?}");
    let mut sorted = arrived;
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=PACKETS).collect::<Vec<_>>());
}
