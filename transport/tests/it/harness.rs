//! Endpoints on loopback, pairs of connections, and waiting with a deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everpost_transport::frame::Frame;
use everpost_transport::link::{Data, Lane, Sequence};
use everpost_transport::{Connection, ControlReader, DataReader, Endpoint, Identity, ReadError, Settings, Streams};
use tokio::time::timeout;

use crate::certificates::Authority;

/// Everything here takes milliseconds; whatever takes this long hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How long a handshake may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

pub(crate) fn settings() -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        keep_alive: Duration::from_millis(200),
        idle_timeout: Duration::from_secs(60),
        streams: 4,
        message_bytes_max: 4 << 20,
        handshake_timeout: WITHIN,
        known: Vec::new(),
    }
}

pub(crate) fn bind(identity: &Identity, peers: &[&str]) -> Endpoint {
    bind_with(&settings(), identity, peers)
}

pub(crate) fn bind_with(settings: &Settings, identity: &Identity, peers: &[&str]) -> Endpoint {
    Endpoint::bind(settings, identity, peers.iter().map(|&peer| peer.to_owned())).unwrap()
}

/// The node `east`, which accepts, and `west`, which dialed it.
pub(crate) struct Pair {
    pub(crate) east: Side,
    pub(crate) west: Side,
}

pub(crate) struct Side {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) streams: Streams,
}

impl Pair {
    pub(crate) async fn new(authority: &Authority) -> Self {
        let east = bind(&authority.identity("east"), &["west", "other"]);
        let west = bind(&authority.identity("west"), &["east"]);
        let (accepted, dialed) = connect(&east, &west, "east").await;
        let side = |endpoint, connection: Connection| Side { endpoint, streams: connection.open(), connection };
        Self { east: side(east, accepted), west: side(west, dialed) }
    }

    /// Sends something in every direction; fails unless it arrives.
    pub(crate) async fn prove(&mut self) {
        for (from, to) in [(&mut self.west, &mut self.east)] {
            say(from, to).await;
            say(to, from).await;
        }
    }
}

/// `from` dials `to`, whose name is `name`.
pub(crate) async fn connect(to: &Endpoint, from: &Endpoint, name: &str) -> (Connection, Connection) {
    let (accepted, dialed) =
        within("a connection", async { tokio::join!(to.accept(), from.dial(name, to.local_address(), WITHIN)) }).await;
    (accepted.unwrap().unwrap(), dialed.unwrap())
}

async fn say(from: &mut Side, to: &mut Side) {
    let note = Frame::Note(Bytes::from_static(b"note"));
    let mut buffer = BytesMut::new();
    note.encode(&mut buffer).unwrap();
    within("a write", from.streams.control_out.write(&mut buffer)).await.unwrap();
    assert_eq!(next_control(&mut to.streams.control_in).await, Ok(vec![note]));

    let frame = Frame::Data(message(1, &[7; 100]));
    frame.encode(&mut buffer).unwrap();
    within("a write", from.streams.data_out.write(1, &mut buffer)).await.unwrap();
    assert_eq!(next_data(&mut to.streams.data_in).await, Ok(vec![frame]));
}

pub(crate) async fn next_control(reader: &mut ControlReader) -> Result<Vec<Frame>, ReadError> {
    let mut frames = Vec::new();
    within("a control frame", reader.next(&mut frames)).await?;
    Ok(frames)
}

pub(crate) async fn next_data(reader: &mut DataReader) -> Result<Vec<Frame>, ReadError> {
    let mut frames = Vec::new();
    within("a data frame", reader.next(&mut frames)).await?;
    Ok(frames)
}

pub(crate) fn message(sequence: u64, body: &[u8]) -> Data {
    Data {
        lane: Lane { receiver_type: 5, partition: 6 },
        previous: Sequence(sequence - 1),
        sequence: Sequence(sequence),
        flags: 0,
        body: Bytes::copy_from_slice(body),
    }
}
