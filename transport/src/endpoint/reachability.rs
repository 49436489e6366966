//! Whether packets can leave for an address at all. To QUIC, a packet that the system refuses to send is lost like one
//! on the way, so a dial would only learn that nobody has answered.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use quinn::udp::{EcnCodepoint, Transmit, UdpSocketState};
use rustix::io::Errno;

/// The least size of the packets with which QUIC makes a connection; with IPv4 and UDP around it, 1,228 bytes.
const PACKET_BYTES: usize = 1200;

/// Why a node that listens at `listen` cannot send to `address`, whatever the network is like.
#[must_use]
pub fn wrong_family(listen: SocketAddr, address: SocketAddr) -> Option<&'static str> {
    match (listen.ip(), address.ip()) {
        (IpAddr::V4(_), IpAddr::V6(_)) => {
            Some("it is an IPv6 address, and `listen` is an IPv4 address: listen on `[::]`, which reaches both")
        }
        (IpAddr::V6(ours), IpAddr::V4(_)) if !ours.is_unspecified() && ours.to_ipv4_mapped().is_none() => {
            Some("it is an IPv4 address, and `listen` is one IPv6 address: listen on `[::]`, which reaches both")
        }
        _ => None,
    }
}

/// Why the system does not send from `listen` to `address`; none if it does. It sends a packet of the size of QUIC's
/// first ones, which every receiver ignores.
pub(super) fn refusal(listen: SocketAddr, address: SocketAddr) -> Option<String> {
    let error = send(listen, address).err()?;
    match Errno::from_io_error(&error) {
        _ if error.kind() == ErrorKind::WouldBlock => None,
        Some(Errno::MSGSIZE) => Some(format!(
            "the way there takes no packet of {PACKET_BYTES} bytes, which is the least that QUIC needs; raise the MTU \
             of the interface to 1280 at least"
        )),
        _ => Some(format!("the system does not send there: {error}")),
    }
}

fn send(listen: SocketAddr, address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((listen.ip(), 0))?;
    // As for QUIC, packets must not be fragmented.
    let state = UdpSocketState::new((&socket).into())?;
    let destination = match (listen.ip(), address.ip()) {
        (IpAddr::V6(_), IpAddr::V4(ip)) => (ip.to_ipv6_mapped(), address.port()).into(),
        _ => address,
    };
    let contents = &[0; PACKET_BYTES];
    let ecn: Option<EcnCodepoint> = None;
    state.try_send((&socket).into(), &Transmit { destination, ecn, contents, segment_size: None, src_ip: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_family_that_a_socket_does_not_have_are_named() {
        let reaches =
            |listen: &str, address: &str| wrong_family(listen.parse().unwrap(), address.parse().unwrap()).is_none();
        for (listen, address, is_reached) in [
            ("0.0.0.0:1", "10.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("127.0.0.1:1", "[fe80::1]:1", false),
            ("[::]:1", "10.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::1]:1", "[::1]:1", true),
            ("[::1]:1", "127.0.0.1:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
        ] {
            assert_eq!(reaches(listen, address), is_reached, "{listen} {address}");
        }
    }

    #[test]
    fn what_the_system_does_not_send_is_named() {
        let here: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(refusal(here, here), None);
        // A loopback address as the sender of a packet that leaves the machine.
        let elsewhere = "192.0.2.1:1".parse().unwrap();
        let words = refusal(here, elsewhere).unwrap();
        assert!(words.contains("the system does not send there: "), "{words}");
    }
}
