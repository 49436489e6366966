//! Nobody gets in who does not belong, and nobody else notices that somebody tried.

use everpost_transport::{DialError, Identity, RejectionReason};
use quinn::{ConnectionError, VarInt};

use crate::certificates::{Authority, Validity};
use crate::harness::{Pair, WITHIN, bind, within};
use crate::raw;

/// A node with this identity dials `east`. Gives what each side says.
async fn dial(pair: &Pair, identity: &Identity) -> (DialError, RejectionReason) {
    let stranger = bind(identity, &["east"]);
    let east = &pair.east.endpoint;
    let (dialed, accepted) =
        within("a refusal", async { tokio::join!(stranger.dial("east", east.local_address(), WITHIN), east.accept()) })
            .await;
    let intrusion = accepted.unwrap().unwrap_err();
    assert_eq!(intrusion.remote, stranger.local_address());
    assert!(!intrusion.to_string().contains('\n'), "one line: {intrusion}");
    (dialed.unwrap_err(), intrusion.reason)
}

/// A raw client that is not let in. Gives what each side says.
async fn connect(pair: &Pair, client: quinn::Endpoint) -> (ConnectionError, RejectionReason) {
    let east = &pair.east.endpoint;
    let (connected, accepted) =
        within("a refusal", async { tokio::join!(raw::connect(&client, east.local_address()), east.accept()) }).await;
    (connected.err().unwrap(), accepted.unwrap().unwrap_err().reason)
}

fn refused_with(error: &DialError, words: &str) {
    let DialError::RefusedByPeer { why, .. } = error else { panic!("{error:?}") };
    assert!(why.contains(words), "{why}");
}

fn certificate_with(reason: &RejectionReason, words: &str) {
    let RejectionReason::Certificate(why) = reason else { panic!("{reason:?}") };
    assert!(why.contains(words), "{why}");
}

/// The code of QUIC for an alert of TLS.
fn alert(error: &ConnectionError) -> u64 {
    let ConnectionError::ConnectionClosed(close) = error else { panic!("{error:?}") };
    u64::from(close.error_code) - 0x100
}

#[tokio::test]
async fn no_certificate() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let (error, reason) = connect(&pair, raw::client(&authority, None, &[b"everpost/1"])).await;
    assert_eq!(reason, RejectionReason::NoCertificate);
    assert_eq!(alert(&error), 116, "certificate required");
    pair.prove().await;
}

/// Authorities that are not ours; one calls itself as ours does.
fn other_authorities() -> [Authority; 2] {
    [Authority::new(), Authority::named("another one")]
}

#[tokio::test]
async fn the_certificate_of_another_authority() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    for other in other_authorities() {
        // It trusts our authority, as anybody can, but is signed by another one.
        let signed = other.sign(&["other"], Validity::Now);
        let identity = Identity::load(&signed.certificate, &signed.key, &authority.path()).unwrap();
        let (error, reason) = dial(&pair, &identity).await;
        refused_with(&error, "the authority of the cluster did not sign it");
        certificate_with(&reason, "the authority of the cluster did not sign it");
    }
    pair.prove().await;
}

#[tokio::test]
async fn a_node_that_trusts_another_authority() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    for other in other_authorities() {
        let (error, reason) = dial(&pair, &other.identity("other")).await;
        assert!(matches!(&error, DialError::Refused { why, .. } if why.contains("did not sign it")), "{error:?}");
        assert!(
            matches!(&reason, RejectionReason::RefusedByPeer(why) if why.contains("did not sign it")),
            "{reason:?}"
        );
    }
    pair.prove().await;
}

#[tokio::test]
async fn an_expired_certificate() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let expired = authority.identity_of(&authority.sign(&["other"], Validity::Expired));
    let (error, reason) = dial(&pair, &expired).await;
    refused_with(&error, "expired");
    certificate_with(&reason, "expired");
    pair.prove().await;
}

/// A wall clock that was set ahead by years, and is right again, cost links that were made meanwhile.
#[tokio::test]
async fn certificates_are_judged_by_the_clock_that_is_given() {
    let authority = Authority::new();
    let in_2020 = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let [east, west] = ["east", "west"].map(|name| {
        let expired = authority.sign(&[name], Validity::Expired);
        authority.identity_of(&expired).with_clock(move || in_2020)
    });
    let (east, west) = (bind(&east, &["west"]), bind(&west, &["east"]));
    crate::harness::connect(&east, &west, "east").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let early = authority.identity_of(&authority.sign(&["other"], Validity::NotYet));
    let (error, reason) = dial(&pair, &early).await;
    refused_with(&error, "not valid yet");
    certificate_with(&reason, "not valid yet");
    pair.prove().await;
}

#[tokio::test]
async fn a_name_that_is_not_configured() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let (error, reason) = dial(&pair, &authority.identity("mallory")).await;
    refused_with(&error, "its certificate is for `mallory`, which is not a configured peer");
    assert_eq!(reason, RejectionReason::NotConfigured { names: vec!["mallory".to_owned()] });
    pair.prove().await;
}

#[tokio::test]
async fn a_certificate_without_names() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let nameless = authority.identity_of(&authority.sign(&[], Validity::Now));
    let (error, reason) = dial(&pair, &nameless).await;
    refused_with(&error, "no name");
    assert_eq!(reason, RejectionReason::NotConfigured { names: vec![] });
    pair.prove().await;
}

#[tokio::test]
async fn a_certificate_that_fits_two_peers() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let both = authority.identity_of(&authority.sign(&["west", "other"], Validity::Now));
    let (error, reason) = dial(&pair, &both).await;
    refused_with(&error, "several peers at once: `west`, `other`");
    assert_eq!(reason, RejectionReason::Ambiguous { peers: vec!["west".to_owned(), "other".to_owned()] });
    pair.prove().await;
}

#[tokio::test]
async fn another_protocol_or_none() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let signed = authority.sign(&["other"], Validity::Now);
    let protocols: [&[&[u8]]; 3] = [&[b"everpost/2"], &[b"h3"], &[]];
    for protocols in protocols {
        let (error, reason) = connect(&pair, raw::client(&authority, Some(&signed), protocols)).await;
        assert_eq!(reason, RejectionReason::OtherProtocol, "{protocols:?}");
        assert_eq!(alert(&error), 120, "no application protocol: {protocols:?}");
    }
    pair.prove().await;
}

#[tokio::test]
async fn the_right_node_at_the_address_of_another() {
    let authority = Authority::new();
    let pair = Pair::new(&authority).await;
    let other = bind(&authority.identity("other"), &["north"]);
    let east = &pair.east.endpoint;
    let (dialed, accepted) =
        within("a refusal", async { tokio::join!(other.dial("north", east.local_address(), WITHIN), east.accept()) })
            .await;
    let error = dialed.unwrap_err();
    assert!(matches!(&error, DialError::Refused { why, .. } if why.contains("north")), "{error:?}");
    assert!(matches!(accepted.unwrap().unwrap_err().reason, RejectionReason::RefusedByPeer(_)));
}

#[tokio::test]
async fn packets_that_are_no_quic_are_ignored() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = pair.east.endpoint.local_address();
    for size in [0, 1, 20, 21, 100, 1_200, 1_452, 9_000] {
        for first in [0x00, 0x40, 0x80, 0xc0, 0xff] {
            let mut packet = vec![0xa5; size];
            packet.iter_mut().take(1).for_each(|byte| *byte = first);
            socket.send_to(&packet, address).await.unwrap();
        }
    }
    pair.prove().await;
}

#[tokio::test]
async fn handshakes_that_stall_hold_up_nobody() {
    let authority = Authority::new();
    let mut pair = Pair::new(&authority).await;
    let signed = authority.sign(&["other"], Validity::Now);
    // First packets of real handshakes, from addresses that never go on: more of them than may be in flight.
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = raw::client(&authority, Some(&signed), &[b"everpost/1"]);
    let mut packet = vec![0; 2_000];
    for _ in 0..200 {
        let stalled = client.connect(sink.local_addr().unwrap(), "east").unwrap();
        let (size, _) = within("a first packet", sink.recv_from(&mut packet)).await.unwrap();
        drop(stalled);
        sink.send_to(&packet[..size], pair.east.endpoint.local_address()).await.unwrap();
    }
    let allowed = raw::connect(&client, pair.east.endpoint.local_address());
    let (accepted, ours) = tokio::join!(
        async {
            loop {
                if let Ok(connection) = within("a connection", pair.east.endpoint.accept()).await.unwrap() {
                    return connection;
                }
            }
        },
        allowed
    );
    assert_eq!(accepted.peer(), "other");
    ours.unwrap().connection.close(VarInt::from_u32(0), b"");
    pair.prove().await;
}
