//! How connections end, and how soon that is noticed.

use std::net::SocketAddr;
use std::time::Duration;

use everpost_transport::{
    BindError, CloseCode, Closed, Connection, DialError, Endpoint, Identity, ReadError, Settings,
};
use tokio::runtime::{Builder, Runtime};

use crate::certificates::Authority;
use crate::harness::{Pair, WITHIN, bind, bind_with, connect, next_control, next_data, settings, within};

#[tokio::test]
async fn both_sides_learn_who_closed_and_why() {
    for code in
        [CloseCode::Stopping, CloseCode::Refused, CloseCode::Protocol, CloseCode::Superseded, CloseCode::Other(9)]
    {
        let mut pair = Pair::new(&Authority::new()).await;
        pair.west.connection.close(code, "because");
        pair.west.connection.close(CloseCode::Other(1), "said too late");
        let here = Closed::Here { code, reason: "because".to_owned() };
        let by_peer = Closed::ByPeer { code, reason: "because".to_owned() };
        assert_eq!(within("the end", pair.west.connection.closed()).await, here);
        assert_eq!(within("the end", pair.east.connection.closed()).await, by_peer);
        assert_eq!(next_control(&mut pair.east.streams.control_in).await, Err(ReadError::Closed(by_peer.clone())));
        assert_eq!(next_data(&mut pair.east.streams.data_in).await, Err(ReadError::Closed(by_peer)));
        assert_eq!(next_data(&mut pair.west.streams.data_in).await, Err(ReadError::Closed(here)));
    }
}

#[tokio::test]
async fn dropping_a_stream_ends_the_connection_and_is_no_breach() {
    let mut pair = Pair::new(&Authority::new()).await;
    drop(pair.west.streams);
    let error = next_control(&mut pair.east.streams.control_in).await.unwrap_err();
    let ReadError::Closed(Closed::ByPeer { code, .. }) = error else { panic!("{error:?}") };
    assert_eq!(code, CloseCode::Abandoned);
}

#[tokio::test]
async fn a_connection_that_nobody_opened_ends_when_it_is_dropped() {
    let authority = Authority::new();
    let east = bind(&authority.identity("east"), &["west"]);
    let west = bind(&authority.identity("west"), &["east"]);
    let (accepted, dialed) = connect(&east, &west, "east").await;
    let copy = dialed.clone();
    drop(dialed);
    assert_eq!(accepted.close_reason(), None);
    drop(copy);
    let closed = within("the end", accepted.closed()).await;
    assert!(matches!(closed, Closed::ByPeer { code: CloseCode::Abandoned, .. }), "{closed:?}");
}

#[tokio::test]
async fn an_endpoint_that_closes_says_so() {
    let mut pair = Pair::new(&Authority::new()).await;
    let address = pair.east.endpoint.local_address();
    within("closing", pair.east.endpoint.close()).await;
    let reason = "the node is stopping".to_owned();
    let by_peer = Closed::ByPeer { code: CloseCode::Stopping, reason: reason.clone() };
    assert_eq!(next_data(&mut pair.west.streams.data_in).await, Err(ReadError::Closed(by_peer)));
    assert_eq!(pair.east.connection.closed().await, Closed::Here { code: CloseCode::Stopping, reason });
    assert!(within("the end", pair.east.endpoint.accept()).await.is_none());
    assert_eq!(pair.east.endpoint.dial("west", address, WITHIN).await.unwrap_err(), DialError::Stopping);
}

#[tokio::test]
async fn a_port_in_use_says_so() {
    let authority = Authority::new();
    let east = bind(&authority.identity("east"), &[]);
    let settings = Settings { listen: east.local_address(), ..settings() };
    let error = Endpoint::bind(&settings, &authority.identity("west"), []).unwrap_err();
    assert!(matches!(error, BindError::InUse { address } if address == east.local_address()), "{error:?}");
    assert!(error.to_string().contains(&east.local_address().port().to_string()), "{error}");
}

#[tokio::test]
async fn settings_and_names_that_cannot_be_say_so() {
    let authority = Authority::new();
    let identity = authority.identity("east");
    let bind = |settings: &Settings, peer: &str| Endpoint::bind(settings, &identity, [peer.to_owned()]).unwrap_err();
    let error = bind(&Settings { streams: 0, ..settings() }, "west");
    assert!(matches!(error, BindError::Setting { field: "streams", .. }), "{error:?}");
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let error = bind(&Settings { listen: elsewhere, ..settings() }, "west");
    assert!(matches!(error, BindError::NotHere { address } if address == elsewhere), "{error:?}");
    for name in ["", "a b", "1", "127.0.0.1", "-", "wëst"] {
        let error = bind(&settings(), name);
        assert!(matches!(&error, BindError::PeerName { name: wrong } if wrong == name), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn names_of_one_label_and_of_several_work() {
    let authority = Authority::new();
    for name in ["e", "east", "east-1", "east_1", "east.example.org", "EAST"] {
        let east = bind(&authority.identity(name), &["west"]);
        let west = bind(&authority.identity("west"), &[name]);
        let (accepted, dialed) = connect(&east, &west, name).await;
        assert_eq!((accepted.peer(), dialed.peer()), ("west", name));
    }
}

#[tokio::test]
async fn a_dead_address_fails_in_time() {
    let authority = Authority::new();
    let brief = Duration::from_millis(300);
    let west = bind(&authority.identity("west"), &["east"]);
    // Bound and never read: nobody answers, and nobody else gets the port.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let error = within("a failure", west.dial("east", address, brief)).await.unwrap_err();
    assert_eq!(error, DialError::TimedOut { address, within: brief, answered: false });
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let error = west.dial("east", nowhere, WITHIN).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { address, .. } if address == nowhere), "{error:?}");
    let error = west.dial("north", address, WITHIN).await.unwrap_err();
    assert_eq!(error, DialError::NotConfigured { peer: "north".to_owned() });
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_after_the_idle_timeout() {
    let authority = Authority::new();
    let brief =
        Settings { keep_alive: Duration::from_millis(100), idle_timeout: Duration::from_millis(600), ..settings() };
    let east = bind_with(&brief, &authority.identity("east"), &["west"]);
    let runtime = other_process();
    let west = bind_in(&runtime, &brief, &authority.identity("west"), "east").await;
    let (accepted, west, dialed) = connect_in(&runtime, &east, west).await;
    kill(runtime, (west, dialed));
    assert_eq!(within("the end", accepted.closed()).await, Closed::TimedOut);
}

/// The process of the node that accepted is killed and started again; the one that dialed notices long before its idle
/// timeout.
#[tokio::test]
async fn a_restart_of_the_accepting_side_is_noticed() {
    let authority = Authority::new();
    let west = bind(&authority.identity("west"), &["east"]);
    let identity = authority.identity("east");
    let runtime = other_process();
    let east = bind_in(&runtime, &settings(), &identity, "west").await;
    let address = east.local_address();
    let (accepted, dialed) = connect(&east, &west, "east").await;
    kill(runtime, (east, accepted));
    let _again = bind_with(&Settings { listen: address, ..settings() }, &identity, &["west"]);
    assert_eq!(within("the end", dialed.closed()).await, Closed::Restarted);
}

/// And the other way round.
#[tokio::test]
async fn a_restart_of_the_dialing_side_is_noticed() {
    let authority = Authority::new();
    let east = bind(&authority.identity("east"), &["west"]);
    let identity = authority.identity("west");
    let runtime = other_process();
    let west = bind_in(&runtime, &settings(), &identity, "east").await;
    let address = west.local_address();
    let (accepted, west, dialed) = connect_in(&runtime, &east, west).await;
    kill(runtime, (west, dialed));
    let _again = bind_with(&Settings { listen: address, ..settings() }, &identity, &["east"]);
    assert_eq!(within("the end", accepted.closed()).await, Closed::Restarted);
}

/// Somebody with a certificate of the cluster, but another key, has the address now: the reset is not theirs to give.
#[tokio::test]
async fn another_node_at_the_address_cannot_end_the_connection() {
    let authority = Authority::new();
    let brief = Settings { idle_timeout: Duration::from_millis(1_500), ..settings() };
    let west = bind_with(&brief, &authority.identity("west"), &["east"]);
    let runtime = other_process();
    let east = bind_in(&runtime, &brief, &authority.identity("east"), "west").await;
    let address = east.local_address();
    let (accepted, dialed) = connect(&east, &west, "east").await;
    kill(runtime, (east, accepted));
    let _other = bind_with(&Settings { listen: address, ..brief }, &authority.identity("east"), &["west"]);
    assert_eq!(within("the end", dialed.closed()).await, Closed::TimedOut);
}

/// A runtime that stands for a process.
fn other_process() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn bind_in(runtime: &Runtime, settings: &Settings, identity: &Identity, peer: &str) -> Endpoint {
    let (settings, identity, peer) = (settings.clone(), identity.clone(), peer.to_owned());
    runtime.spawn(async move { bind_with(&settings, &identity, &[&peer]) }).await.unwrap()
}

/// What a connection needs lives in the runtime in which it was dialed.
async fn connect_in(runtime: &Runtime, east: &Endpoint, west: Endpoint) -> (Connection, Endpoint, Connection) {
    let address = east.local_address();
    let dialed = runtime.spawn(async move { (west.dial("east", address, WITHIN).await.unwrap(), west) });
    let (accepted, dialed) = within("a connection", async { tokio::join!(east.accept(), dialed) }).await;
    let (dialed, west) = dialed.unwrap();
    (accepted.unwrap().unwrap(), west, dialed)
}

/// Ends a runtime and what lives in it as a SIGKILL would: nothing is said to anybody.
fn kill<T: Send + 'static>(runtime: Runtime, rest: T) {
    let end = move || {
        drop(runtime);
        drop(rest);
    };
    std::thread::spawn(end).join().unwrap();
}
