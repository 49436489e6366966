//! Whoever connects and says nothing holds up nobody: neither an honest peer, nor the end of the node.

use std::time::Duration;

use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::Puppet;
use everpost_tests::wait::soon;
use everpost_transport::{CloseCode, Closed, Connection};

/// Nothing that is waited for here takes as long.
const NEVER: Duration = Duration::from_secs(3600);

/// 64 of them took all places: honest peers waited for them to time out, and so did a stop.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_peer_take_its_own_places_only() {
    const SILENT: usize = 80;
    let [east, north, west] = ["unspoken-east", "unspoken-north", "unspoken-west"];
    let mut net = Net::new(&[east, north, west]);
    net.seat_mut(west).link.handshake_cap = NEVER;
    let probe = Probe::new();
    let node = net.start(west, &probe).await;
    let seat = net.seat(north);
    let puppet = Puppet::new(seat, &seat.identity);
    let mut silent: Vec<Connection> = Vec::new();
    for _ in 0..SILENT {
        let dialed = soon("its certificate is right", puppet.endpoint.dial(west, net.seat(west).listen, NEVER)).await;
        silent.push(dialed.unwrap());
    }
    // The oldest has given way to the newest, which are waited for.
    let closed = soon("the first gives way", silent[0].closed()).await;
    assert!(matches!(closed, Closed::ByPeer { code: CloseCode::Superseded, .. }), "{closed}");
    let honest = net.start(east, &probe).await;
    linked(&[&honest, &node]).await;
    assert_eq!(silent.last().unwrap().close_reason(), None, "nobody has timed out");
    // The peer itself is let in as well, once it speaks.
    let spoken = puppet.converse(west, net.seat(west).listen).await;
    drop(spoken);
    stop([node, honest]).await;
}
