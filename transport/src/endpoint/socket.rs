//! The UDP socket.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::BindError;

/// Binds a socket with large buffers.
pub(super) fn bind(address: SocketAddr) -> Result<UdpSocket, BindError> {
    open(address).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse { address },
        ErrorKind::PermissionDenied => BindError::NoPermission { address },
        ErrorKind::AddrNotAvailable => BindError::NotHere { address },
        _ => BindError::System { address, source },
    })
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // `[::]` listens on IPv4 too, whatever the system is set to.
        socket.set_only_v6(false)?;
    }
    // A burst that does not fit is lost, and costs a round trip. The system gives no more than its limits allow;
    // anything is enough for being correct.
    for outcome in [socket.set_recv_buffer_size(BUFFER_BYTES), socket.set_send_buffer_size(BUFFER_BYTES)] {
        if let Err(error) = outcome {
            tracing::debug!(%error, "the size of a socket buffer could not be set");
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// 32 ms at 1 Gbit/s.
const BUFFER_BYTES: usize = 4 << 20;
