//! Handshakes that begin and never end: many from one address hold up nobody from another one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use everpost_transport::{AcceptError, Connection, Endpoint, RejectionReason, Settings};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::certificates::{Authority, Validity};
use crate::harness::{WITHIN, bind_with, settings, within};
use crate::raw;

/// Lets one client begin a handshake with `target`, from `host`, and never end it: what it says once it was answered,
/// its certificate above all, never comes through. Says when the other side has answered.
async fn half_open(host: Ipv4Addr, target: SocketAddr, answered: mpsc::Sender<()>) -> SocketAddr {
    let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let back = UdpSocket::bind((host, 0)).await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut there, mut here) = ([0; 2048], [0; 2048]);
        let mut client = None;
        let mut is_answered = false;
        loop {
            tokio::select! {
                Ok((bytes, from)) = front.recv_from(&mut there) => {
                    client = Some(from);
                    if !is_answered {
                        let _ = back.send_to(&there[..bytes], target).await;
                    }
                }
                Ok((bytes, _)) = back.recv_from(&mut here) => {
                    // A retry only asks for a proof of the address.
                    if here[0] & LONG_HEADER_KIND != RETRY && !is_answered {
                        is_answered = true;
                        let _ = answered.send(()).await;
                    }
                    if let Some(client) = client {
                        let _ = front.send_to(&here[..bytes], client).await;
                    }
                }
            }
        }
    });
    address
}

/// The first connection, and how many handshakes have given way before.
async fn accept(east: Arc<Endpoint>) -> (Connection, usize) {
    let mut gave_way = 0;
    loop {
        match east.accept().await.unwrap() {
            Ok(connection) => return (connection, gave_way),
            Err(AcceptError { reason: RejectionReason::Evicted, .. }) => gave_way += 1,
            Err(other) => panic!("{other}"),
        }
    }
}

/// RFC 9000, section 17.2.
const LONG_HEADER_KIND: u8 = 0xf0;
const RETRY: u8 = 0xf0;

#[tokio::test]
async fn handshakes_from_one_address_that_never_end_hold_up_nobody_from_another() {
    const SILENT: usize = 80;
    let authority = Authority::new();
    // None of them times out while this lasts.
    let patient = Settings { handshake_timeout: Duration::from_secs(600), ..settings() };
    let east = Arc::new(bind_with(&patient, &authority.identity("east"), &["west"]));
    let west = bind_with(&patient, &authority.identity("west"), &["east"]);
    let signed = authority.sign(&["west"], Validity::Now);
    let client = raw::client(&authority, Some(&signed), &[b"everpost/1"]);
    let accepting = tokio::spawn(accept(Arc::clone(&east)));
    let (sender, mut answered) = mpsc::channel(SILENT);
    let mut connecting = Vec::new();
    for _ in 0..SILENT {
        let address = half_open(Ipv4Addr::new(127, 0, 0, 2), east.local_address(), sender.clone()).await;
        connecting.push(client.connect(address, "east").unwrap());
        within("it is answered", answered.recv()).await.unwrap();
    }
    let dialed = within("the honest handshake", west.dial("east", east.local_address(), WITHIN)).await.unwrap();
    let (accepted, gave_way) = within("it is accepted", accepting).await.unwrap();
    assert_eq!((dialed.peer(), accepted.peer()), ("east", "west"));
    assert!(gave_way >= SILENT / 2, "only {gave_way} of {SILENT} have given way");
    within("the end", east.close()).await;
}
